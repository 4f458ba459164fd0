package proc

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// DefaultGrace stands for a zero Cmd.Grace.
const DefaultGrace = 5 * time.Second

// DefaultTail is a good value for Cmd.Tail.
const DefaultTail = 64 << 10

// poll is how often a group that is ending is looked at. There is no call that
// waits for the processes of others.
const poll = 10 * time.Millisecond

// settle is how long a group may take to vanish after it was killed. It only
// matters to processes that nobody reaps, or that hang in the kernel.
const settle = 2 * time.Second

// A Cmd is a program to be run, as a process group of its own. It is a literal
// and has no memory: it can be run several times, also at once, if its readers
// and writers can.
type Cmd struct {
	// Path is the program. Unless it contains a slash it is looked up in
	// PATH.
	Path string

	// Args are its arguments, without its name.
	Args []string

	// Dir is where it runs. Empty means the current directory.
	Dir string

	// Env is its environment as in [exec.Cmd]. Nil means that of this
	// process.
	Env []string

	// Stdin, Stdout and Stderr are as in [exec.Cmd]: nil is the null device,
	// and an *os.File is handed to the program as it is. Anything else is
	// copied, by goroutines that Wait waits for.
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer

	// Tail is how many bytes of the end of stderr to keep, for
	// [Process.Stderr] and [ExitError.Stderr]. If it is not zero, the program
	// sees a pipe as its stderr, even if Stderr is a terminal.
	Tail int

	// Grace is how long the group has between being asked to end and being
	// killed, and how long output may be held open by what the program left
	// behind. Zero means DefaultGrace.
	Grace time.Duration

	// Foreground leaves the program in the process group of its parent, so
	// that it can read from the terminal. Then only the program itself is
	// signalled and killed, not what it started.
	Foreground bool
}

// Run starts the program and waits for it. See [Cmd.Start] and [Process.Wait].
func (c Cmd) Run(ctx context.Context) error {
	p, err := c.Start(ctx)
	if err != nil {
		return err
	}
	return p.Wait()
}

// Start starts the program. If ctx ends before the program does, its group is
// ended: by the signal that ctx's cause names (see [SignalError]) or else by
// SIGTERM, and after the grace by SIGKILL.
//
// If the program cannot be started, the error is a [*StartError]; if ctx has
// ended already, it is ctx's cause. Otherwise Wait must be called.
func (c Cmd) Start(ctx context.Context) (*Process, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if c.Grace <= 0 {
		c.Grace = DefaultGrace
	}
	path, err := exec.LookPath(c.Path)
	if err != nil {
		return nil, &StartError{Path: c.Path, Err: err}
	}
	p := &Process{
		cmd: &exec.Cmd{
			Path:        path,
			Args:        append([]string{c.Path}, c.Args...),
			Dir:         c.Dir,
			Env:         c.Env,
			Stdin:       c.Stdin,
			Stdout:      c.Stdout,
			Stderr:      c.Stderr,
			WaitDelay:   c.Grace,
			SysProcAttr: attributes(c.Foreground),
		},
		grace: c.Grace,
		group: !c.Foreground,
		done:  make(chan struct{}),
	}
	if c.Tail > 0 {
		p.tail = NewTail(c.Tail)
		p.cmd.Stderr = p.tail
		if c.Stderr != nil {
			p.cmd.Stderr = io.MultiWriter(c.Stderr, p.tail)
		}
	}

	started := make(chan error)
	go func() {
		// Linux sends Pdeathsig when the thread that started the program
		// ends, not the process: keep that thread until the program is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		defer close(p.done)
		p.err = p.supervise(ctx)
	}()
	if err := <-started; err != nil {
		return nil, &StartError{Path: c.Path, Err: err, found: true}
	}
	return p, nil
}

// A Process is a program that was started. It is safe for concurrent use.
type Process struct {
	cmd   *exec.Cmd
	grace time.Duration
	group bool
	tail  *Tail // nil if nothing is kept

	done chan struct{}
	err  error // set before done is closed
}

// PID returns the number of the program's process, which is that of its group
// as well unless the Cmd was in the foreground.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stderr returns a copy of the end of what the program wrote to stderr, at most
// Cmd.Tail bytes. It may be called at any time.
func (p *Process) Stderr() []byte {
	if p.tail == nil {
		return nil
	}
	return p.tail.Bytes()
}

// Done returns a channel that is closed when Wait would return at once.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits until the program has ended and its output was copied. If it was
// ended because its context was, Wait waits for the whole group.
//
// The error is nil if the program exited with status 0 of its own accord, and
// otherwise an [*ExitError]. Wait may be called several times, and always
// returns the same.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Signal sends sig to the group, or to the program alone if it is in the
// foreground. It returns [os.ErrProcessDone] if there is none any more.
func (p *Process) Signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return os.ErrProcessDone
	default:
	}
	return p.signal(sig)
}

func (p *Process) signal(sig syscall.Signal) error {
	if p.group {
		return signalGroup(p.cmd.Process, sig)
	}
	return p.cmd.Process.Signal(sig)
}

// supervise waits for the program, and ends its group if ctx ends first.
func (p *Process) supervise(ctx context.Context) error {
	exited := make(chan error, 1)
	go func() { exited <- p.cmd.Wait() }()
	select {
	case err := <-exited:
		return p.result(err, nil)
	case <-ctx.Done():
		cause := context.Cause(ctx)
		return p.result(p.end(signalOf(cause), exited), cause)
	}
}

// end asks the group to end by sig, kills it after the grace, and returns what
// Wait returned. The leader's number stays that of the group as long as the
// group has members, so that it can't be another's.
func (p *Process) end(sig syscall.Signal, exited <-chan error) error {
	_ = p.signal(sig)
	resume(p.cmd.Process, p.group) // the stopped can't end
	var err error
	limit := time.NewTimer(p.grace)
	defer limit.Stop()
	look := time.NewTicker(poll)
	defer look.Stop()
	for killed := false; ; {
		select {
		case err = <-exited:
			exited = nil
		case <-look.C:
		case <-limit.C:
			if killed && exited == nil {
				return err
			}
			_ = p.signal(syscall.SIGKILL)
			killed = true
			limit.Reset(settle)
		}
		if exited == nil && (!p.group || !groupAlive(p.cmd.Process.Pid)) {
			return err
		}
	}
}

// result is what Wait returns. cause is why the group was ended, nil if it was
// not.
func (p *Process) result(err, cause error) error {
	state := p.cmd.ProcessState
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // what the program left behind held its output open
	}
	if err == nil && cause == nil {
		return nil
	}
	e := &ExitError{Path: p.cmd.Args[0], Cause: cause, Stderr: p.Stderr()}
	if state == nil { // no word from the system
		e.Status, e.Err = 1, err
		return e
	}
	e.Status, e.Signal = status(state)
	if _, ok := errors.AsType[*exec.ExitError](err); !ok {
		e.Err = err // a reader or writer failed
	}
	return e
}
