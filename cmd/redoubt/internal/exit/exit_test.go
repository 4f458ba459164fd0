package exit

import (
	"errors"
	"fmt"
	"testing"
)

func TestCode(t *testing.T) {
	plain := errors.New("plain")
	for _, tt := range []struct {
		err  error
		code int
		text string
	}{
		{nil, 0, ""},
		{plain, 1, "plain"},
		{With(2, plain), 2, "plain"},
		{fmt.Errorf("outer: %w", With(75, plain)), 75, "outer: plain"},
		{With(2, nil), 0, ""},
		{Quietly(42), 42, ""},
		{Quietly(0), 0, ""},
	} {
		if got := Code(tt.err); got != tt.code {
			t.Errorf("Code(%v) = %d, want %d", tt.err, got, tt.code)
		}
		if tt.err != nil && tt.err.Error() != tt.text {
			t.Errorf("text is %q, want %q", tt.err, tt.text)
		}
	}
	if !errors.Is(With(2, plain), plain) {
		t.Error("With hides the error")
	}
}
