package roundtrip

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A pointer to a type with a field is one body and no other.
type namedBody struct {
	io.Reader

	name string
}

func (*namedBody) Close() error { return nil }

// A Read that is under way when the body is handed over belongs to the send before,
// and ends before the body is rewound.
func TestUpload_HandOver(t *testing.T) {
	first, second := &namedBody{name: "first"}, &namedBody{name: "second"}
	for name, tt := range map[string]struct {
		gone  bool          // who sends
		read  time.Duration // how long the Read goes on; 0 for none
		again io.ReadCloser
		want  error
		took  time.Duration
	}{
		"no read":                   {false, 0, first, nil, 0},
		"short read":                {false, time.Millisecond, first, nil, time.Millisecond},
		"short read, another body":  {false, time.Millisecond, second, nil, time.Millisecond},
		"long read":                 {false, time.Hour, first, ErrBeingRead, handOverPatience},
		"long read, another body":   {false, time.Hour, second, nil, handOverPatience},
		"long read, nobody waits":   {true, time.Hour, first, ErrBeingRead, 0},
		"long read, nobody's body":  {false, time.Hour, nil, nil, handOverPatience},
		"long read, incomparable":   {false, time.Hour, io.NopCloser(several{nil}), nil, handOverPatience},
		"no read, nobody waits":     {true, 0, first, nil, 0},
		"no read, incomparable too": {false, 0, io.NopCloser(several{nil}), nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.gone {
					cancel()
				}
				var u Upload
				if tt.read > 0 {
					if !u.Begin() {
						t.Fatal("the first Read may not begin")
					}
					time.AfterFunc(tt.read, u.End)
				}
				start := time.Now()
				got, err := u.HandOver(ctx, first, func() (io.ReadCloser, error) {
					if took := time.Since(start); took != tt.took {
						t.Errorf("GetBody is called after %v, want %v", took, tt.took)
					}
					return tt.again, nil
				})
				if err != tt.want || (got == nil) != (err != nil || tt.again == nil) {
					t.Errorf("got %v, %v; want %v", got, err, tt.want)
				}
				if u.Begin() {
					t.Error("a Read begins after the body was handed over")
				}
				time.Sleep(tt.read)
			})
		})
	}
}

type several []io.Reader

func (s several) Read(p []byte) (int, error) { return s[0].Read(p) }

// GetBody's own error is told, whatever its body.
func TestUpload_HandOverFails(t *testing.T) {
	gone := errors.New("file is gone")
	var u Upload
	body := io.NopCloser(strings.NewReader("x"))
	if _, err := u.HandOver(t.Context(), body, func() (io.ReadCloser, error) { return nil, gone }); err != gone {
		t.Errorf("err = %v, want %v", err, gone)
	}
}
