// Command redoubt guards commands that talk to things which fail.
//
//	redoubt run -- COMMAND…     repeat a command until it succeeds
//	redoubt load                show what resilience gains and costs under load
//	redoubt serve               the same before a dependency of yours, for any engine
//	redoubt hg URL DEST         make a Mercurial working copy, whatever fails
//
// Every command has a --help with examples and exit codes. redoubt is made of
// the packages of github.com/redoubt-go/redoubt, as any program can be.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/exit"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/proc"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/tracing"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main but for the exit.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := proc.Notify(context.Background())
	defer stop()
	ctx, flush, err := tracing.Start(ctx, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "redoubt: %v\n", err)
		return exit.Usage
	}
	defer flush()

	root := newRoot(stdout, stderr)
	root.SetArgs(asHgtool(os.Args[0], args))
	err = root.ExecuteContext(ctx)
	if err != nil && err.Error() != "" {
		fmt.Fprintf(stderr, "redoubt: %v\n", err)
	}
	return exit.Code(err)
}

// asHgtool returns the command line of "redoubt hg" if redoubt was called by the
// name of Mozilla's hgtool, through a link, so that what calls that need not
// change. Completion scripts know redoubt by its own name only.
func asHgtool(name string, args []string) []string {
	if !strings.HasPrefix(filepath.Base(name), "hgtool") {
		return args
	}
	return append([]string{"hg"}, args...)
}
