package runcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// The values of --stdin.
const (
	stdinPass   = "pass"
	stdinReplay = "replay"
	stdinNull   = "null"
)

// An input is what attempts read. An attempt that reads half of an input and
// fails must not leave the next one with the other half, which might succeed
// with it.
type input struct {
	file   *os.File
	start  int64 // where each attempt begins, if replays
	replay bool  // the file can be read again
	once   bool  // only the first attempt may read it
}

// newInput judges what the file can do: a regular file is read again by each
// attempt, from where it stood; a terminal by nobody but a command in the
// foreground, since another that reads it is stopped by the system; anything
// else, such as a pipe, by the first attempt only.
func newInput(file *os.File, mode string, foreground bool) (*input, error) {
	if mode == stdinNull {
		return &input{}, nil
	}
	info, err := file.Stat()
	if err != nil { // closed
		return &input{}, nil //nolint:nilerr // Then there is nothing to read.
	}
	switch {
	case info.Mode().IsRegular():
		start, err := file.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, fmt.Errorf("stdin: %w", err)
		}
		return &input{file: file, start: start, replay: true}, nil
	case mode == stdinReplay:
		return &input{file: file}, nil // load makes it so
	case term.IsTerminal(int(file.Fd())):
		if !foreground {
			return &input{}, nil
		}
		return &input{file: file}, nil
	case info.Mode()&os.ModeCharDevice != 0: // such as the null device
		return &input{file: file}, nil
	default:
		return &input{file: file, once: true}, nil
	}
}

// load copies all of the input to a file that has no name any more, so that it
// can be read again.
func (in *input) load(ctx context.Context) error {
	if in.replay || in.file == nil {
		return nil
	}
	copied, err := os.CreateTemp("", "redoubt-stdin-")
	if err != nil {
		return fmt.Errorf("--stdin=replay: %w", err)
	}
	if err := os.Remove(copied.Name()); err != nil {
		return errors.Join(fmt.Errorf("--stdin=replay: %w", err), copied.Close())
	}
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(copied, in.file)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("--stdin=replay: %w", err)
		}
	case <-ctx.Done(): // the copy goes on until the program ends
		return context.Cause(ctx)
	}
	*in = input{file: copied, replay: true}
	return nil
}

// reader returns what the nth run of the command reads, n from 1, nil for
// nothing.
func (in *input) reader(n int) (io.Reader, error) {
	switch {
	case in.file == nil, in.once && n > 1:
		return nil, nil
	case in.replay:
		if _, err := in.file.Seek(in.start, io.SeekStart); err != nil {
			return nil, fmt.Errorf("stdin: %w", err)
		}
	}
	return in.file, nil
}
