package statedir

import "testing"

func TestDefault(t *testing.T) {
	for _, tt := range []struct{ xdg, home, want string }{
		{"/x", "/h", "/x/redoubt"},
		{"", "/h", "/h/.local/state/redoubt"},
		{"relative", "/h", "/h/.local/state/redoubt"},
		{"", "relative", ""},
		{"", "", ""},
	} {
		t.Setenv("XDG_STATE_HOME", tt.xdg)
		t.Setenv("HOME", tt.home)
		got, err := Default()
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("XDG_STATE_HOME=%s HOME=%s: %q, %v; want %q", tt.xdg, tt.home, got, err, tt.want)
		}
	}
}
