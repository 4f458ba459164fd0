package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/ops"
)

// The example shows its page, with all that it calls, and ends by itself while
// somebody watches.
func TestRun(t *testing.T) {
	out, write := io.Pipe()
	done := make(chan error, 1)
	start := time.Now()
	go func() { done <- run(t.Context(), write, "127.0.0.1:0", 3*time.Second) }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	url := regexp.MustCompile(`http://\S+`).FindString(line)

	watching, err := http.Get(url + "events")
	if err != nil {
		t.Fatal(err)
	}
	defer watching.Body.Close()
	names := map[string]bool{}
	for len(names) < 3 && time.Since(start) < time.Minute {
		for _, row := range state(t, url).Breakers.Rows {
			names[row.Name] = true
		}
	}
	for _, name := range []string{"payments", "search", "mail relay"} {
		if !names[name] {
			t.Errorf("the page does not show %s", name)
		}
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("it does not end by itself")
	}
}

func state(t *testing.T, url string) ops.Snapshot {
	t.Helper()
	resp, err := http.Get(url + "state")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var s ops.Snapshot
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}
