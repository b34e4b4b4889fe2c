package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/event"
)

// usageError is a command line that says nothing that could be done; the process exits with 2 for it and with 1 for all
// else.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// What the process exits with when it did not do what it was told.
const (
	exitFailed = 1 // it was refused, or it failed
	exitUsage  = 2 // it was not understood
	exitCannot = 2 // verify could not find out
)

// exitCode returns what the process exits with after an error.
func exitCode(err error) int {
	var usage usageError
	var cannot verifyError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &cannot):
		return exitCannot
	}
	return exitFailed
}

// markUsage makes usageErrors of what is wrong with flags and arguments of cmd and all commands below it.
func markUsage(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, below := range cmd.Commands() {
		markUsage(below)
	}
}

// group returns a command that does nothing by itself.
func group(name, short string) *cobra.Command {
	return &cobra.Command{
		Use:   name,
		Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				var names []string
				for _, below := range cmd.Commands() {
					if below.IsAvailableCommand() {
						names = append(names, below.Name())
					}
				}
				return fmt.Errorf("%s needs a command: %s", cmd.CommandPath(), strings.Join(names, ", "))
			}
			return noSuchCommand(cmd, args)
		},
		RunE: func(*cobra.Command, []string) error { panic("BUG: a group of commands was run") },
	}
}

// noSuchCommand refuses arguments of a command that has only commands.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	cmd.SuggestionsMinimumDistance = 2 // Letters that may be wrong; cobra's own errors allow as many.
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return fmt.Errorf("%s has no command %q%s", cmd.CommandPath(), args[0], hint)
}

// verb returns a command that does something. The words of use behind the first say what its arguments are: PRODUCT
// takes a name, on|off one of these.
func (c *ctl) verb(use, short string, run func(cmd *cobra.Command, args []string) error) *cobra.Command {
	words := strings.Fields(use)[1:]
	return &cobra.Command{
		Use:                   use + " [flags]",
		DisableFlagsInUseLine: true,
		Short:                 short,
		Args:                  func(_ *cobra.Command, args []string) error { return checkArguments(words, args) },
		RunE:                  run,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) >= len(words) {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return c.complete(cmd.Context(), words[len(args)], args), cobra.ShellCompDirectiveNoFileComp
		},
	}
}

func checkArguments(words, args []string) error {
	least := slices.IndexFunc(words, func(word string) bool { return word[0] == '[' })
	if least < 0 {
		least = len(words)
	}
	if len(args) < least || len(args) > len(words) {
		return fmt.Errorf("%d arguments were given, and %d are needed: %s", len(args), len(words), strings.Join(words, " "))
	}
	for i, word := range words[:len(args)] {
		if choice := strings.Split(word, "|"); len(choice) > 1 {
			if !slices.Contains(choice, args[i]) {
				return fmt.Errorf("%q: must be %s", args[i], strings.Join(choice, " or "))
			}
		} else if err := checkName(strings.Trim(word, "[]"), args[i]); err != nil {
			return err
		}
	}
	return nil
}

// checkName refuses what no name can be, before it becomes part of a path or, being empty, takes a limit away.
func checkName(what, name string) error {
	if !event.ValidName([]byte(name)) {
		return fmt.Errorf("%s %q: must be 1 to 64 bytes of A-Z a-z 0-9 . _ : -", what, name)
	}
	return nil
}

// needs refuses a command line without these flags.
func needs(cmd *cobra.Command, flags ...string) error {
	var missing []string
	for _, name := range flags {
		if !cmd.Flags().Changed(name) {
			missing = append(missing, "--"+name)
		}
	}
	if len(missing) > 0 {
		return usageError{fmt.Errorf("%s needs %s", cmd.CommandPath(), strings.Join(missing, " and "))}
	}
	return nil
}

// namesGiven refuses flags that were given and hold no name.
func namesGiven(cmd *cobra.Command, flags ...string) error {
	for _, name := range flags {
		if f := cmd.Flags().Lookup(name); f.Changed {
			if err := checkName("--"+name, f.Value.String()); err != nil {
				return usageError{err}
			}
		}
	}
	return nil
}
