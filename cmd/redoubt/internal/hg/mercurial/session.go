package mercurial

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/proc"
)

// A session is an hg that waits for commands on its stdin ("hg serve --cmdserver
// pipe"), so that Python starts once and not for each of them.
//
// The protocol: the server says hello on its output channel. A command is the
// line "runcommand", and its arguments, joined by NUL, with their length before
// them. Answers are blocks of a channel's letter, a length and that many bytes:
// "o" output, "e" errors, "r" the exit status, and capital letters ask for
// input, of which there is none. Lengths are 32 bits, big-endian.
type session struct {
	ctx     context.Context //nolint:containedctx // it is the session that the context ends
	process *proc.Process
	stdin   *os.File
	stdout  *os.File
	unhook  func() bool
}

// errSession says that the server ended in the middle of a command.
var errSession = errors.New("hg ended in the middle of a command")

// start starts a server that lives as long as ctx, and hears its hello. If that
// fails, it returns what the server wrote to stderr instead.
func (h *Hg) start(ctx context.Context) (_ *session, stderr string, err error) {
	childIn, stdin, err := os.Pipe()
	if err != nil {
		return nil, "", err
	}
	stdout, childOut, err := os.Pipe()
	if err != nil {
		_ = childIn.Close()
		_ = stdin.Close()
		return nil, "", err
	}
	s := &session{ctx: ctx, stdin: stdin, stdout: stdout}
	s.process, err = proc.Cmd{
		Path: h.path, Args: []string{"serve", "--cmdserver=pipe"}, Env: h.env, Dir: h.dir,
		Stdin: childIn, Stdout: childOut, Tail: proc.DefaultTail,
	}.Start(ctx)
	_ = childIn.Close()
	_ = childOut.Close() // or we would never see its end
	if err != nil {
		_ = stdin.Close()
		_ = stdout.Close()
		return nil, "", err
	}
	// A signal ends the command, after which hg would wait for the next one.
	s.unhook = context.AfterFunc(ctx, func() { _ = stdin.Close() })
	if channel, _, err := s.block(); err != nil || channel != 'o' {
		err := s.close()
		return nil, string(s.process.Stderr()), cmp.Or(err, errSession)
	}
	return s, "", nil
}

// usable reports whether the session can take a command under ctx.
func (s *session) usable(ctx context.Context) bool {
	if s == nil || s.ctx != ctx {
		return false
	}
	select {
	case <-s.process.Done():
		return false
	default:
		return true
	}
}

// run runs a command. It returns its exit status, or an error if the server
// ended.
func (s *session) run(args []string, stdout, stderr io.Writer) (int, error) {
	text := strings.Join(args, "\x00")
	request := append([]byte("runcommand\n"), binary.BigEndian.AppendUint32(nil, uint32(len(text)))...)
	if _, err := s.stdin.Write(append(request, text...)); err != nil {
		return 0, errSession
	}
	for {
		channel, data, err := s.block()
		if err != nil {
			return 0, err
		}
		switch channel {
		case 'o':
			_, _ = stdout.Write(data)
		case 'e':
			_, _ = stderr.Write(data)
		case 'r':
			if len(data) < 4 {
				return 0, errSession
			}
			return int(int32(binary.BigEndian.Uint32(data))), nil
		case 'I', 'L':
			if _, err := s.stdin.Write([]byte{0, 0, 0, 0}); err != nil {
				return 0, errSession
			}
		}
	}
}

// maxBlock bounds a block; hg's own are at most a few kilobytes, but for what a
// command prints at once.
const maxBlock = 1 << 30

// block reads a block. Those that ask for input have no bytes.
func (s *session) block() (channel byte, data []byte, err error) {
	var header [5]byte
	if _, err := io.ReadFull(s.stdout, header[:]); err != nil {
		return 0, nil, errSession
	}
	channel = header[0]
	length := binary.BigEndian.Uint32(header[1:])
	if channel == 'I' || channel == 'L' {
		return channel, nil, nil
	}
	if length > maxBlock {
		return 0, nil, fmt.Errorf("%w: it speaks of %d bytes", errSession, length)
	}
	var b bytes.Buffer
	if _, err := io.CopyN(&b, s.stdout, int64(length)); err != nil {
		return 0, nil, errSession
	}
	return channel, b.Bytes(), nil
}

// kill ends a server that has nothing to do. Python takes longer to leave than
// some commands to run.
func (s *session) kill() {
	if s != nil {
		_ = s.process.Signal(syscall.SIGKILL)
		_ = s.close()
	}
}

// close ends the server and returns how it ended.
func (s *session) close() error {
	if s == nil {
		return nil
	}
	s.unhook()
	_ = s.stdin.Close()
	err := s.process.Wait()
	_ = s.stdout.Close()
	return err
}
