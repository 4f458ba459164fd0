package loadcmd

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// shard is a flag for one of several processes that share a run: "2/3" is the
// second of three. Zero is a run that is not shared.
type shard struct{ number, of int }

func (s *shard) String() string {
	if s.of == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.number, s.of)
}

// Type is what the help calls it.
func (*shard) Type() string { return "i/n" }

// maxShards bounds the processes of a run.
const maxShards = 10_000

func (s *shard) Set(text string) error {
	number, of, _ := strings.Cut(text, "/")
	i, err1 := strconv.Atoi(number)
	n, err2 := strconv.Atoi(of)
	if err := errors.Join(err1, err2); err != nil || i < 1 || i > n || n > maxShards {
		return fmt.Errorf("must be i/n, such as 2/3 for the second of three, at most %d", maxShards)
	}
	*s = shard{i, n}
	return nil
}

// instant is a flag for a time.
type instant time.Time

func (t *instant) String() string {
	if time.Time(*t).IsZero() {
		return ""
	}
	return time.Time(*t).Format(time.RFC3339)
}

// Type is what the help calls it.
func (*instant) Type() string { return "time" }

func (t *instant) Set(text string) error {
	v, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		seconds, intErr := strconv.ParseInt(text, 10, 64)
		if intErr != nil {
			return errors.New("must be a time such as 2026-01-02T15:04:05Z, or in seconds since 1970")
		}
		v = time.Unix(seconds, 0)
	}
	*t = instant(v)
	return nil
}
