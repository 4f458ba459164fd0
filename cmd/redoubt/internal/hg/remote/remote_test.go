package remote

import (
	"errors"
	"testing"
)

func TestCount(t *testing.T) {
	for want := range 300 {
		asked := 0
		got, err := count(func(n int) (bool, error) {
			asked++
			return n <= want, nil
		})
		if got != want || err != nil || asked > 18 {
			t.Errorf("got %d of %d, %v, after %d questions", got, want, err, asked)
		}
	}
	if _, err := count(func(int) (bool, error) { return true, nil }); err == nil {
		t.Error("a source without end has no error")
	}
	broken := errors.New("broken")
	if _, err := count(func(n int) (bool, error) { return n < 9, map[bool]error{true: broken}[n > 9] }); !errors.Is(err, broken) {
		t.Errorf("err = %v", err)
	}
}
