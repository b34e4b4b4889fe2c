package event

// Problem is a refused request as RFC 9457 has it. Line (from 1) and Field are given where a body was refused.
type Problem struct {
	Code   Code
	Detail string
	Field  string
	Line   int
}

// Error makes a Problem an error, so that a refusal travels as one.
func (p *Problem) Error() string { return p.Code.String() + ": " + p.Detail }
