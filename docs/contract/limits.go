package contract

// linesMax is how many lines of a body are looked at, so that tests that send or read many more are not slowed down:
// lines of one body come from the same code.
const linesMax = 500
