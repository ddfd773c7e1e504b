package main

// The resources: what discovery says about them, the columns of their tables, the labels their field selectors know.

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	"k8s.io/apiserver/pkg/registry/rest"
	apiservice "k8s.io/kube-aggregator/pkg/registry/apiservice/etcd"
	"k8s.io/kube-openapi/pkg/common"
	printers "k8s.io/kubernetes/pkg/printers/internalversion"
)

type resource struct {
	metav1.APIResource
	gv      schema.GroupVersion
	stored  string
	subs    []metav1.APIResource
	columns []metav1.TableColumnDefinition
	// docs says for each column whose field's description it has, "-" for none.
	docs   []string
	labels []string
}

// readResources reads the discovery documents of one group version as the Kubernetes repository records them.
func readResources(folder string, gv schema.GroupVersion) ([]*resource, error) {
	file := "api__" + gv.Version + ".json"
	if gv.Group != "" {
		file = "apis__" + gv.Group + "__" + gv.Version + ".json"
	}
	raw, err := os.ReadFile(filepath.Join(folder, file))
	if err != nil {
		return nil, err
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var all []*resource
	byName := map[string]*resource{}
	for _, r := range list.APIResources {
		if !strings.Contains(r.Name, "/") {
			one := &resource{APIResource: r, gv: gv}
			byName[r.Name] = one
			all = append(all, one)
		}
	}
	for _, r := range list.APIResources {
		if parent, sub, ok := strings.Cut(r.Name, "/"); ok {
			r.Name = sub
			byName[parent].subs = append(byName[parent].subs, r)
		}
	}
	return all, nil
}

// storedAs finds the group version whose storage hash discovery shows.
func (r *resource) storedAs(schemes []*runtime.Scheme) error {
	if r.StorageVersionHash == "" {
		return nil
	}
	for _, s := range schemes {
		for gvk := range s.AllKnownTypes() {
			if gvk.Kind == r.Kind && discovery.StorageVersionHash(gvk.Group, gvk.Version, gvk.Kind) == r.StorageVersionHash {
				r.stored = gvk.GroupVersion().String()
				return nil
			}
		}
	}
	return fmt.Errorf("%s: no version of %s has the storage hash %s", r.Name, r.Kind, r.StorageVersionHash)
}

// columnTable collects the columns by the internal Go type that the print function takes.
type columnTable map[reflect.Type][]metav1.TableColumnDefinition

func (c columnTable) TableHandler(columns []metav1.TableColumnDefinition, print any) error {
	c[reflect.TypeOf(print).In(0).Elem()] = columns
	return nil
}

// plainTables are the resources whose registry does not use the print handlers.
var plainTables = map[string]bool{
	"limitranges": true, "roles": true, "clusterroles": true, "csistoragecapacities": true,
	"customresourcedefinitions": true,
}

type column = metav1.TableColumnDefinition

func plainColumns() ([]column, error) {
	convertor := rest.NewDefaultTableConvertor(schema.GroupResource{})
	table, err := convertor.ConvertToTable(context.Background(), &metav1.PartialObjectMetadataList{}, nil)
	if err != nil {
		return nil, err
	}
	return table.ColumnDefinitions, nil
}

func apiServiceColumns() ([]column, error) {
	table, err := (&apiservice.REST{}).ConvertToTable(context.Background(), &metav1.PartialObjectMetadataList{}, nil)
	if err != nil {
		return nil, err
	}
	return table.ColumnDefinitions, nil
}

// columnsOf are the columns of a kind: those of its internal type, else the plain ones.
func columnsOf(handlers columnTable, schemes []*runtime.Scheme, r *resource) ([]column, error) {
	switch {
	case r.Name == "apiservices":
		return apiServiceColumns()
	case plainTables[r.Name]:
		return plainColumns()
	}
	for _, s := range schemes {
		// Events of both groups share the internal type of the core group.
		for _, group := range []string{r.gv.Group, ""} {
			internal, err := s.New(schema.GroupVersionKind{Group: group, Version: runtime.APIVersionInternal, Kind: r.Kind})
			if err != nil {
				continue
			}
			if columns, ok := handlers[reflect.TypeOf(internal).Elem()]; ok {
				return columns, nil
			}
		}
	}
	if !hasVerb(r.Verbs, "list") {
		return nil, nil
	}
	return nil, fmt.Errorf("%s: no columns", r.Name)
}

// plain is a description without its line breaks and the list of its values: the printers have it from another
// generator than OpenAPI.
func plain(text string) string {
	text, _, _ = strings.Cut(text, "Possible enum values:")
	return strings.Join(strings.Fields(text), " ")
}

// fieldsByText finds a field, as `type#member`, by its description.
func (t *table) fieldsByText(definitions map[string]common.OpenAPIDefinition) map[string]string {
	found := map[string]string{}
	for _, name := range t.names() {
		for member, property := range definitions[name].Schema.Properties {
			text, place := plain(property.Description), name+"#"+member
			if known, ok := found[text]; text != "" && (!ok || place < known) {
				found[text] = place
			}
		}
	}
	return found
}

// describe notes whose descriptions the columns have; the texts themselves stay out of the facts.
func (r *resource) describe(fields map[string]string) {
	for _, c := range r.columns {
		place, ok := fields[plain(c.Description)]
		if !ok {
			place = "-"
		}
		r.docs = append(r.docs, place)
	}
}

func hasVerb(verbs []string, verb string) bool {
	for _, v := range verbs {
		if v == verb {
			return true
		}
	}
	return false
}

func printHandlers() columnTable {
	c := columnTable{}
	printers.AddHandlers(c)
	return c
}

// labelDepth: the deepest label that field selectors use is involvedObject.resourceVersion; deeper paths are tried
// one step further.
const labelDepth = 3

// otherLabels are labels that upstream accepts without being a path of the type.
var otherLabels = []string{"spec.host", "source", "reportingComponent", "involvedObject.kind", "involvedObject.namespace",
	"involvedObject.name", "involvedObject.uid", "involvedObject.apiVersion", "involvedObject.resourceVersion",
	"involvedObject.fieldPath", "status.successful"}

// labelsOf asks the scheme about every path of the type, and writes `label>internal label` where they differ.
func (t *table) labelsOf(scheme *runtime.Scheme, gvk schema.GroupVersionKind, root *typ) []string {
	candidates := map[string]bool{}
	for _, label := range otherLabels {
		candidates[label] = true
	}
	t.paths(root, "", labelDepth, candidates)
	var found []string
	for label := range candidates {
		internal, _, err := scheme.ConvertFieldLabel(gvk, label, "x")
		if err != nil {
			continue
		}
		if internal != label {
			label += ">" + internal
		}
		found = append(found, label)
	}
	sort.Strings(found)
	return found
}

func (t *table) paths(in *typ, prefix string, depth int, found map[string]bool) {
	for _, f := range t.flat(in) {
		path := prefix + f.json
		found[path] = true
		if next := t.types[f.shape]; next != nil && depth > 1 {
			t.paths(next, path+".", depth-1, found)
		}
	}
}
