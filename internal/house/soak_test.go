package house

import (
	"os"
	"path"
	"strings"
	"testing"

	_ "github.com/shmconn/shmconn/internal/soak" // the flag -soak
)

// TestSoakFlag: a test binary without the flag would fail when the soaks of all packages are run.
func TestSoakFlag(t *testing.T) {
	sources, err := load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	has := make(map[string]bool)
	for _, s := range sources {
		if !s.test() {
			continue
		}
		dir := path.Dir(s.name)
		has[dir] = has[dir] || false
		for _, spec := range s.file.Imports {
			if strings.Trim(spec.Path.Value, `"`) == module+"/internal/soak" {
				has[dir] = true
			}
		}
	}
	for dir, ok := range has {
		if !ok {
			t.Errorf("no test of %s imports internal/soak, for the flag -soak", dir)
		}
	}
}
