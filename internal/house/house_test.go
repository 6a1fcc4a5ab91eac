// Package house checks the rules of this module that the compiler does not know: what each folder
// may import, where unsafe and system calls may be used, what go.mod may require, and that every
// exported name has a doc comment.
package house

import (
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"
)

func TestModule(t *testing.T) {
	problems, err := check(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
}

// TestRules breaks each rule in a module of two files, so that a rule that no longer bites is seen.
func TestRules(t *testing.T) {
	const gomod = "module " + module + "\n\nrequire (\n\tgolang.org/x/net v0.1.0\n\tgolang.org/x/sys v0.1.0\n\tgolang.org/x/text v0.1.0 // indirect\n)\n"
	imports := func(path string) string { return "package p\n\nimport _ \"" + path + "\"\n" }
	own := func(folder string) string { return imports(module + "/" + folder) }
	const use = "package p\n\nimport \"unsafe\"\n\n"
	for _, test := range []struct {
		name, file, text string
		want             string // part of the one problem, empty for none
	}{
		{"requirement", "go.mod", "require example.com/plot v1.0.0\n", "go.mod: requires example.com/plot"},
		{"requirement in a block", "go.mod", "require (\n\texample.com/plot v1.0.0\n)\n", "go.mod: requires example.com/plot"},

		{"std", "ring/a.go", imports("net/http"), ""},
		{"third party", "cmd/shmconn/a.go", imports("example.com/cli"), "example.com/cli is neither"},
		{"third party in a test", "ring/a_test.go", imports("example.com/assert"), "example.com/assert is neither"},
		{"nested module", "bench/a.go", imports("example.com/plot"), ""},
		{"testdata", "ring/testdata/a.go", imports("example.com/plot"), ""},

		{"unsafe", "ring/a.go", imports("unsafe"), "ring/a.go:3:8: unsafe outside"},
		{"unsafe in a test", "ring/a_test.go", imports("unsafe"), "unsafe outside"},
		{"unsafe file", "ring/a_unsafe.go", imports("unsafe"), ""},
		{"unsafe file for a system", "ring/a_unsafe_linux.go", imports("unsafe"), ""},
		{"unsafe unsaid", "ring/a_unsafe.go", use + "func f(p *int) {\n\t_ = unsafe.Pointer(p)\n}\n", "a_unsafe.go:6:6: use of unsafe without"},
		{"unsafe said", "ring/a_unsafe.go", use + "func f(p *int) {\n\t// SAFETY: it is not used.\n\t_ = unsafe.Pointer(p)\n}\n", ""},
		{"unsafe said in the doc", "ring/a_unsafe.go", use + "// SAFETY: it is not used.\nfunc f(p *int) {\n\t_ = unsafe.Pointer(p)\n}\n", ""},
		{"unsafe said elsewhere", "ring/a_unsafe.go", use + "func f(p *int) {\n\t_ = unsafe.Pointer(p)\n}\n\n// SAFETY: none.\nvar v int\n", "use of unsafe without"},
		{"unsafe constant", "ring/a_unsafe.go", use + "const size = unsafe.Sizeof(0)\n", ""},

		{"unix", "ring/a.go", imports("golang.org/x/sys/unix"), "golang.org/x/sys/unix outside"},
		{"unix in a test", "shmconn/a_test.go", imports("golang.org/x/sys/unix"), "golang.org/x/sys/unix outside"},
		{"unix in memfd", "memfd/a.go", imports("golang.org/x/sys/unix"), ""},
		{"unix in internal", "internal/doorbell/a.go", imports("golang.org/x/sys/unix"), ""},
		{"unix in a file for Linux", "shmconn/a_linux.go", imports("golang.org/x/sys/unix"), ""},
		{"unix in a test for Linux", "shmconn/a_linux_test.go", imports("golang.org/x/sys/unix"), ""},

		{"x/net", "shmconn/a.go", imports("golang.org/x/net/nettest"), "golang.org/x/net/nettest outside"},
		{"x/net in a test", "shmconn/a_test.go", imports("golang.org/x/net/nettest"), ""},
		{"x/net in conformance", "conformance/a.go", imports("golang.org/x/net/nettest"), ""},

		{"down", "shmconn/a.go", own("ring"), ""},
		{"down to internal", "shmconn/a.go", own("internal/wire"), ""},
		{"up", "listener/a.go", own("shmconn"), "listener may not import shmconn"},
		{"up with a doc", "listener/a.go", "// Package p needs shmconn.\n" + own("shmconn"), "listener may not import shmconn"},
		{"sideways", "ring/a.go", own("memfd"), "ring may not import memfd"},
		{"sideways with a doc", "ring/a.go", "// Package p needs memfd.\n" + own("memfd"), ""},
		{"sideways with another doc", "ring/a.go", "// Package p is not about memfds.\n" + own("memfd"), "ring may not import memfd"},
		{"sideways in a test", "ring/a_test.go", own("memfd"), ""},
		{"internal unsaid", "ring/a.go", own("internal/race"), "ring may not import internal/race"},
		{"internal said", "ring/a.go", "// Package p tells internal/race of its stores.\n" + own("internal/race"), ""},
		{"internal in an example", "examples/x/a.go", own("internal/race"), "examples may not import internal/race"},
		{"conformance in a program", "cmd/shmconn/a.go", own("conformance"), "cmd may not import conformance"},
		{"new folder", "extra/a.go", "// Package p is new.\npackage p\n", "folder extra has no row"},

		{"package unsaid", "ring/a.go", "package p\n", "package p has no doc comment"},
		{"func unsaid", "ring/a.go", "package p\n\nfunc F() {}\n", "ring/a.go:3:6: F has no doc comment"},
		{"func said", "ring/a.go", "package p\n\n// F is here.\nfunc F() {}\n", ""},
		{"func of a program", "cmd/shmconn/a.go", "package main\n\nfunc F() {}\n", ""},
		{"func in a test", "ring/a_test.go", "package p\n\nfunc F() {}\n", ""},
		{"method unsaid", "ring/a.go", "package p\n\n// T is here.\ntype T[P any] struct{}\n\nfunc (t *T[P]) M() {}\n", "M has no doc comment"},
		{"method of a hidden type", "ring/a.go", "package p\n\ntype t struct{}\n\nfunc (t) M() {}\n", ""},
		{"constants unsaid", "ring/a.go", "package p\n\nconst (\n\tA = 1 // one\n\tB = 2\n)\n", "B has no doc comment"},
		{"constants said", "ring/a.go", "package p\n\n// Numbers.\nconst (\n\tA = 1\n\tB = 2\n)\n", ""},
		{"type unsaid", "ring/a.go", "package p\n\n// Types.\ntype (\n\tT int\n)\n", "T has no doc comment"},
		{"field unsaid", "ring/a.go", "package p\n\n// T is here.\ntype T struct {\n\tF int\n}\n", "F has no doc comment"},
		{"fields said", "ring/a.go", "package p\n\n// T has A.\ntype T struct {\n\tA int\n\n\t// B and C.\n\tB int\n\tC int\n}\n", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			fsys := fstest.MapFS{
				"go.mod":       {Data: []byte(gomod)},
				"bench/go.mod": {Data: []byte("module " + module + "/bench\n")},
			}
			fsys[test.file] = &fstest.MapFile{Data: []byte(test.text)}
			if dir := path.Dir(test.file); arrows[folder(test.file)] != nil && test.name != "package unsaid" {
				fsys[dir+"/doc.go"] = &fstest.MapFile{Data: []byte("// Package p has a doc.\npackage p\n")}
			}
			problems, err := check(fsys)
			if err != nil {
				t.Fatal(err)
			}
			all := strings.Join(problems, "\n")
			if (test.want == "") != (all == "") || !strings.Contains(all, test.want) || len(problems) > 1 {
				t.Errorf("problems:\n%s\nwant %q", all, test.want)
			}
		})
	}
}
