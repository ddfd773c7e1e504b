package main

// Writing the facts files; the format is described in ../README.md.

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

const notice = `# Facts of the Kubernetes API %s, made by scripts/facts; do not edit. The format is in README.md.
# Inputs: k8s.io/kubernetes and its staging modules, Copyright The Kubernetes Authors, Apache License 2.0.
`

// split cuts an OpenAPI name into its package and the name in it.
func split(name string) (string, string) {
	i := strings.LastIndex(name, ".")
	return name[:i], name[i+1:]
}

// local shortens the name in a shape when it lives in the same package.
func local(shape, pkg string) string {
	bare := strings.TrimLeft(shape, "[]{}")
	if p, n := split("." + bare); p == "."+pkg {
		return shape[:len(shape)-len(bare)] + n
	}
	return shape
}

func (f *field) line(pkg string) string {
	name, shape := f.json, local(f.shape, pkg)
	if name == "" {
		name = "."
	}
	if f.pointer {
		shape = "*" + shape
	}
	words := []string{"", name, fmt.Sprint(f.proto), shape}
	word := func(set bool, text string) {
		if set {
			words = append(words, text)
		}
	}
	word(f.omit != "", f.omit)
	word(f.required, "req")
	word(f.list != "", "list="+f.list)
	word(f.mapType != "", "map="+f.mapType)
	word(len(f.patch) > 0, "patch="+strings.Join(f.patch, "+"))
	word(f.mergeBy != "", "by="+f.mergeBy)
	word(len(f.enums) > 0, "enum="+strings.ReplaceAll(strings.Join(f.enums, "|"), " ", "%20"))
	word(f.defaulted != "", "default="+f.defaulted)
	return strings.Join(words, " ")
}

func (t *typ) write(out *strings.Builder, pkg string) {
	_, name := split(t.name)
	if t.form == "alias" {
		fmt.Fprintf(out, "alias %s %s\n", name, local(t.alias, pkg))
		return
	}
	words := []string{t.form, name}
	if t.kind != "" {
		words = append(words, t.kind)
	}
	if t.mapAtomic {
		words = append(words, "mapatomic")
	}
	fmt.Fprintln(out, strings.Join(words, " "))
	for _, u := range t.unions {
		fmt.Fprintf(out, " union %s\n", u)
	}
	for _, f := range t.fields {
		fmt.Fprintln(out, f.line(pkg))
	}
}

func (r *resource) write(out *strings.Builder) {
	fmt.Fprintf(out, "resource %s %s %s\n", r.Name, r.Kind, r.SingularName)
	one := func(name string, words []string) {
		if len(words) > 0 {
			fmt.Fprintf(out, " %s %s\n", name, strings.Join(words, " "))
		}
	}
	if r.Namespaced {
		fmt.Fprintln(out, " namespaced")
	}
	one("short", r.ShortNames)
	one("categories", r.Categories)
	one("verbs", r.Verbs)
	if r.stored != "" {
		one("stored", []string{r.stored})
	}
	one("select", r.labels)
	for i, c := range r.columns {
		format := c.Format
		if format == "" {
			format = "-"
		}
		fmt.Fprintf(out, " column %s %s %d %s %s\n", c.Type, format, c.Priority, r.docs[i], c.Name)
	}
	for _, s := range r.subs {
		gv := r.gv
		if s.Group != "" || s.Version != "" {
			gv = schema.GroupVersion{Group: s.Group, Version: s.Version}
		}
		fmt.Fprintf(out, " sub %s %s %s %s\n", s.Name, gv, s.Kind, strings.Join(s.Verbs, " "))
	}
}

// fileOf names the file of a package: io.k8s.api.core.v1 goes to core_v1.facts.
func fileOf(pkg string) string {
	parts := strings.Split(pkg, ".")
	if len(parts) < 2 || !strings.HasPrefix(parts[len(parts)-1], "v") || parts[len(parts)-1] == "version" {
		return "meta_v1.facts"
	}
	return parts[len(parts)-2] + "_" + parts[len(parts)-1] + ".facts"
}

func write(folder, release string, t *table, packages map[string]schema.GroupVersion, resources map[string][]*resource) error {
	byPackage := map[string][]*typ{}
	for _, name := range t.names() {
		pkg, _ := split(name)
		byPackage[pkg] = append(byPackage[pkg], t.types[name])
	}
	var order []string
	for pkg := range byPackage {
		order = append(order, pkg)
	}
	sort.Strings(order)
	files := map[string]*strings.Builder{}
	for _, pkg := range order {
		out := files[fileOf(pkg)]
		if out == nil {
			out = &strings.Builder{}
			fmt.Fprintf(out, notice, release)
			files[fileOf(pkg)] = out
		}
		fmt.Fprintf(out, "\npackage %s", pkg)
		if gv, ok := packages[pkg]; ok {
			fmt.Fprintf(out, " %s", gv)
		}
		fmt.Fprintln(out)
		for _, r := range resources[pkg] {
			fmt.Fprintln(out)
			r.write(out)
		}
		for _, this := range byPackage[pkg] {
			fmt.Fprintln(out)
			this.write(out, pkg)
		}
	}
	old, err := filepath.Glob(filepath.Join(folder, "*.facts"))
	if err != nil {
		return err
	}
	for _, path := range old {
		// Written by hand, see README.md.
		if filepath.Base(path) == "metrics_v1beta1.facts" {
			continue
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	for name, out := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(out.String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
