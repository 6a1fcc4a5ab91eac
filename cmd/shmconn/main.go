// Command shmconn brings programs that know nothing of shared memory onto it, and tells whether and
// how a machine uses it.
//
//	go install github.com/shmconn/shmconn/cmd/shmconn@latest
//
//	shmconn proxy LISTEN CONNECT    forward connections between sockets and shared memory
//	shmconn cat ADDRESS             connect standard input and output, like nc -U
//	shmconn stat SOCKET             show what a listener is carrying
//	shmconn doctor                  check whether this machine can share memory, and say what to do
//
// shmconn COMMAND -h describes a command. The exit code is 0 on success, 1 on failure and 2 when the
// command line is wrong.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// command is one of the things that this program does.
type command struct {
	name     string
	operands string // what follows the flags, for the usage line
	brief    string // one line for the list of commands
	help     string // what -h says between the usage line and the flags
	run      func(c *command, args []string) error
}

// commands returns all commands, in the order in which they are listed.
func commands() []*command {
	return []*command{proxyCommand, catCommand, statCommand, doctorCommand}
}

// usageError is an error of the command line.
type usageError struct{ error }

func usageErrorf(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

func main() {
	os.Exit(run(os.Args[1:]))
}

// run does what the command line says and returns the exit code.
func run(args []string) int {
	if len(args) == 0 {
		usage(os.Stderr)
		return 2
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		usage(os.Stdout)
		return 0
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.exit(c.run(c, args[1:]))
		}
	}
	fmt.Fprintf(os.Stderr, "shmconn: no command %q\nRun 'shmconn -h' for the commands.\n", args[0])
	return 2
}

func usage(w io.Writer) {
	fmt.Fprint(w, "Usage: shmconn COMMAND [flags] [operands]\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-8s%s\n", c.name, c.brief)
	}
	fmt.Fprint(w, "\nRun 'shmconn COMMAND -h' for a command's flags and operands.\n")
}

// exit reports the error of a command and returns the exit code that it calls for.
func (c *command) exit(err error) int {
	var wrong usageError
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &wrong):
		fmt.Fprintf(os.Stderr, "shmconn %s: %v\nRun 'shmconn %[1]s -h' for its usage.\n", c.name, err)
		return 2
	}
	c.logf("%v", err)
	return 1
}

// logf writes a line to standard error.
func (c *command) logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "shmconn %s: %s\n", c.name, fmt.Sprintf(format, args...))
}

// flags returns the command's empty set of flags.
func (c *command) flags() *flag.FlagSet {
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // parse says what there is to say
	fs.Usage = func() {}
	return fs
}

// parse parses args, which must have from least to most operands. For -h it prints the usage and
// returns flag.ErrHelp.
func (c *command) parse(fs *flag.FlagSet, args []string, least, most int) error {
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		line := "shmconn " + c.name
		some := false
		fs.VisitAll(func(*flag.Flag) { some = true })
		if some {
			line += " [flags]"
		}
		if c.operands != "" {
			line += " " + c.operands
		}
		fmt.Printf("Usage: %s\n\n%s\n", line, strings.TrimSpace(c.help))
		if some {
			fmt.Print("\nFlags:\n")
			fs.SetOutput(os.Stdout)
			fs.PrintDefaults()
		}
		return err
	case err != nil:
		return usageError{err}
	case fs.NArg() < least:
		return usageErrorf("an operand is missing: %s", c.operands)
	case fs.NArg() > most:
		return usageErrorf("unexpected operand %q", fs.Arg(most))
	}
	return nil
}
