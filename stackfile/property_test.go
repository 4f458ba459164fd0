package stackfile

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
)

// A breaker's configuration that is written down, in any order and with any
// fields left out, is read as it was.
func TestProperty_Breaker(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 1))
		want := breaker.Config{Name: "b", Window: time.Duration(1+random.IntN(100)) * time.Second}
		fields := []string{"name: b", "window: " + want.Window.String()}
		value := reflect.ValueOf(&want).Elem()
		for field, v := range value.Fields() {
			if random.IntN(2) == 0 || !v.IsZero() || strings.HasPrefix(field.Name, "MaxC") {
				continue
			}
			text, ok := draw(random, v)
			if ok {
				fields = append(fields, snake(field.Name)+": "+text)
			}
		}
		if want.SlowRatio > 0 && want.SlowCall == 0 {
			want.SlowCall = time.Second
			fields = append(fields, "slow_call: 1s")
		}
		if want.Cooldown > 0 {
			want.MaxCooldown = 2 * want.Cooldown
			fields = append(fields, "max_cooldown: "+want.MaxCooldown.String())
		}
		random.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
		text := "stack:\n  - breaker:\n      " + strings.Join(fields, "\n      ")
		f, err := Parse("stack.yaml", []byte(text))
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		if got := f.layers[0].block.(breakerBlock).config; !reflect.DeepEqual(got, want) {
			t.Errorf("seed %d: %+v\nwant %+v\n%s", seed, got, want, text)
		}
	}
}

// draw sets v to a random value and returns that as it is written.
func draw(random *rand.Rand, v reflect.Value) (string, bool) {
	switch v.Interface().(type) {
	case time.Duration:
		d := time.Duration(1+random.IntN(1000)) * time.Millisecond
		v.Set(reflect.ValueOf(d))
		return d.String(), true
	case int:
		n := 1 + random.IntN(60)
		v.SetInt(int64(n))
		return fmt.Sprint(n), true
	case float64:
		f := float64(1+random.IntN(100)) / 100
		v.SetFloat(f)
		return fmt.Sprint(f), true
	case bool:
		v.SetBool(true)
		return "true", true
	}
	return "", false // a function
}

// A file from which a line is taken, or in which one is doubled, is read or
// refused, but never makes a panic; and one with a letter less in a field is
// refused.
func TestProperty_Damaged(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(everything), "\n")
	for i, line := range lines {
		without := strings.Join(append(append([]string{}, lines[:i]...), lines[i+1:]...), "\n")
		twice := strings.Join(append(append([]string{}, lines[:i+1]...), lines[i:]...), "\n")
		for _, text := range []string{without, twice} {
			if f, err := Parse("stack.yaml", []byte(text)); err == nil {
				f.Explain()
			}
		}
		key, rest, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		misspelt := append([]string{}, lines...)
		misspelt[i] = key[:len(key)-1] + ":" + rest
		if _, err := Parse("stack.yaml", []byte(strings.Join(misspelt, "\n"))); err == nil {
			t.Errorf("taken for right: %q", misspelt[i])
		}
	}
}
