package main

// Checking the protobuf numbers of the struct tags against the messages that upstream publishes (generated.proto).
// The wire type and label words of the tags are written by hand upstream and often wrong, so they are not looked at.

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// messages: OpenAPI name -> field name -> "label type number".
type messages map[string]map[string]string

var (
	messageLine = regexp.MustCompile(`^message (\w+) \{`)
	fieldLine   = regexp.MustCompile(`^  (optional|repeated) ([\w.]+) (\w+) = (\d+);`)
	mapLine     = regexp.MustCompile(`^  map<string, ([\w.]+)> (\w+) = (\d+);`)
)

// readMessages reads the generated.proto beside each package of the table.
func readMessages(t *table) (messages, error) {
	paths := map[string]string{}
	for name, this := range t.types {
		pkg, _ := split(name)
		paths[this.goType.PkgPath()] = pkg
	}
	all := messages{}
	for path, pkg := range paths {
		dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", path).Output()
		if err != nil {
			return nil, fmt.Errorf("go list %s: %w", path, err)
		}
		file, err := os.Open(filepath.Join(strings.TrimSpace(string(dir)), "generated.proto"))
		if os.IsNotExist(err) {
			continue // the package has no protobuf form
		}
		if err != nil {
			return nil, err
		}
		defer file.Close()
		message := ""
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if m := messageLine.FindStringSubmatch(lines.Text()); m != nil {
				message = pkg + "." + m[1]
				all[message] = map[string]string{}
			} else if m := fieldLine.FindStringSubmatch(lines.Text()); m != nil {
				all[message][m[3]] = fmt.Sprintf("%s %s %s", m[1], m[2], m[4])
			} else if m := mapLine.FindStringSubmatch(lines.Text()); m != nil {
				all[message][m[2]] = fmt.Sprintf("map %s %s", m[1], m[3])
			}
		}
	}
	return all, nil
}

// wire is the protobuf type of a shape without its list or map.
func wire(shape string) string {
	switch shape {
	case "bool":
		return "bool"
	case "i32":
		return "int32"
	case "i64":
		return "int64"
	case "f64":
		return "double"
	case "str":
		return "string"
	case "bytes":
		return "bytes"
	}
	name := shape
	for builtinName, s := range builtin {
		if s == shape {
			name = builtinName
		}
	}
	_, name = split("." + name)
	return name
}

func (t *table) checkMessages(all messages) {
	for name, this := range t.types {
		message, ok := all[name]
		if !ok || this.form == "alias" {
			continue
		}
		seen := 0
		for _, f := range this.fields {
			if f.proto == 0 {
				continue
			}
			label, shape := "optional", f.shape
			switch {
			case strings.HasPrefix(shape, "[]"):
				label, shape = "repeated", shape[2:]
			case strings.HasPrefix(shape, "{}"):
				label, shape = "map", shape[2:]
			}
			want := fmt.Sprintf("%s %s %d", label, wire(shape), f.proto)
			got, found := message[f.protoName]
			if words := strings.Split(got, " "); found {
				_, words[1] = split("." + words[1])
				got = strings.Join(words, " ")
			}
			if want != got {
				t.contradiction(name+"."+f.protoName, "the tag implies %q, generated.proto says %q", want, got)
			}
			seen++
		}
		if seen != len(message) {
			t.contradiction(name, "%d protobuf members in the struct, %d in generated.proto", seen, len(message))
		}
	}
}
