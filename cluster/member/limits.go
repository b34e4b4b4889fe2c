package member

import "time"

// Every bound of the package, each with the reason for its size.
const (
	// silenceMax is how long an owner may append nothing before others try to take over. It appends once a second.
	silenceMax = 5 * time.Second
	// againAfter is how long a standby whose claim was refused for a message that it had not read listens for another one:
	// an owner that lives appends twice in that time.
	againAfter = 2 * time.Second
	// newWait is how long a cell that nobody ever owned waits for the other nodes to be heard: they tell once a second.
	newWait = 2 * time.Second
	// lineWait is how much longer each node waits than the one before it in line: an epoch takes a few milliseconds.
	lineWait = time.Second
	// clockWait is how much longer a node waits whose clock is off, or that has heard no other one yet: until a new leader
	// of the stream is elected, 9 s behind the death of the old one, all others may lack what that committed last.
	clockWait = 6 * time.Second
	// refusedRest is the pause after a refusal of the stream, which only an operator or a copy from another node ends.
	refusedRest = 10 * time.Second
	// lookMax is how long one question for the stream may take, which stands before a take-over: an answer takes
	// milliseconds. lookRest is the pause before it is asked again.
	lookMax  = 500 * time.Millisecond
	lookRest = time.Second
	// repairMax is how long a repair may take: the copy is read and proved, at some 500 MB a second.
	repairMax = 100 * time.Second
	// pollEvery is how long a standby waits for news before it asks. News may be lost; they are only hints.
	pollEvery = 250 * time.Millisecond
	// newsEvery is how soon a replica that does not have the news yet is asked again, and then twice as late each time.
	newsEvery = 2 * time.Millisecond
	// moveMax is how long a move may take: requests in hand are finished first.
	moveMax = 15 * time.Second
	// handMax is how long a node that ends waits for its successor's epoch. Its server is one of the majority.
	handMax = 3 * time.Second
	// damagedAfter is how long a stream may lack what was acknowledged before somebody is told to repair the cell: a
	// replica that was cut off catches up within some seconds.
	damagedAfter = 10 * time.Second
	// returnAfter is how long a standby has followed before it asks for the cell that it is first in line for: what made
	// it lose the cell may come again.
	returnAfter = 15 * time.Second
	// mendAgain is how long it takes at least from one making anew of a copy that was open, or one handing over for its
	// sake, to the next: a fault that is everywhere must not move cells in a circle.
	mendAgain = 5 * time.Minute
	// handEvery is how often an owner whose copy is damaged looks for a standby in order.
	handEvery = time.Second
)
