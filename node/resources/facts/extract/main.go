// Command extract writes the facts table of the built-in API types.
//
// It runs inside a copy of the module k8s.io/kubernetes (see scripts/facts), because only there the registered types,
// the OpenAPI definitions and the print columns can be asked by reflection. Its output is names, types, numbers and
// markers; it never writes a description.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	discoveryv2 "k8s.io/api/apidiscovery/v2"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	aggregator "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/generated/openapi"

	_ "k8s.io/kubernetes/pkg/apis/admission/install"
	_ "k8s.io/kubernetes/pkg/apis/admissionregistration/install"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/authentication/install"
	_ "k8s.io/kubernetes/pkg/apis/authorization/install"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	_ "k8s.io/kubernetes/pkg/apis/certificates/install"
	_ "k8s.io/kubernetes/pkg/apis/coordination/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/discovery/install"
	_ "k8s.io/kubernetes/pkg/apis/events/install"
	_ "k8s.io/kubernetes/pkg/apis/flowcontrol/install"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	_ "k8s.io/kubernetes/pkg/apis/node/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	_ "k8s.io/kubernetes/pkg/apis/resource/install"
	_ "k8s.io/kubernetes/pkg/apis/scheduling/install"
	_ "k8s.io/kubernetes/pkg/apis/storage/install"
)

// served are the group versions of the default server: every stable version of 1.36.
var served = []string{
	"v1", "apps/v1", "batch/v1", "autoscaling/v1", "autoscaling/v2", "policy/v1", "networking.k8s.io/v1",
	"storage.k8s.io/v1", "rbac.authorization.k8s.io/v1", "admissionregistration.k8s.io/v1",
	"apiextensions.k8s.io/v1", "apiregistration.k8s.io/v1", "certificates.k8s.io/v1", "coordination.k8s.io/v1",
	"discovery.k8s.io/v1", "events.k8s.io/v1", "flowcontrol.apiserver.k8s.io/v1", "node.k8s.io/v1",
	"scheduling.k8s.io/v1", "resource.k8s.io/v1", "authentication.k8s.io/v1", "authorization.k8s.io/v1",
}

// meta are roots that no resource refers to.
var meta = []any{
	metav1.Status{}, metav1.DeleteOptions{}, metav1.CreateOptions{}, metav1.UpdateOptions{}, metav1.PatchOptions{},
	metav1.ListOptions{}, metav1.GetOptions{}, metav1.ApplyOptions{}, metav1.LabelSelector{}, metav1.Condition{},
	metav1.APIGroup{}, metav1.APIGroupList{}, metav1.APIResourceList{}, metav1.APIVersions{}, metav1.WatchEvent{},
	metav1.Table{}, metav1.TableOptions{}, metav1.PartialObjectMetadata{}, metav1.PartialObjectMetadataList{},
	metav1.List{}, metav1.Duration{}, metav1.FieldSelectorRequirement{}, metav1.ShardInfo{}, version.Info{},
	admissionv1.AdmissionReview{}, discoveryv2.APIGroupDiscoveryList{},
}

var schemes = []*runtime.Scheme{legacyscheme.Scheme, apiextensions.Scheme, aggregator.Scheme}

func schemeOf(gv schema.GroupVersion) (*runtime.Scheme, error) {
	for _, s := range schemes {
		if s.IsVersionRegistered(gv) {
			return s, nil
		}
	}
	return nil, fmt.Errorf("%s is in no scheme", gv)
}

// unversioned are the kinds of the meta package whose apiVersion is plain v1 wherever they occur.
var unversioned = map[string]bool{
	"Status": true, "APIVersions": true, "APIGroup": true, "APIGroupList": true, "APIResourceList": true, "List": true,
}

func metaKind(g reflect.Type) string {
	if _, has := g.FieldByName("TypeMeta"); !has {
		return ""
	}
	if unversioned[g.Name()] {
		return "kind=v1"
	}
	return "kind"
}

// packageOf is the Go package that holds the kinds of a group version: that of most registered types.
func packageOf(known map[string]reflect.Type) string {
	count := map[string]int{}
	best := ""
	for _, g := range known {
		count[g.PkgPath()]++
	}
	for path, n := range count {
		if path != "k8s.io/apimachinery/pkg/apis/meta/v1" && n > count[best] {
			best = path
		}
	}
	return best
}

func addVersion(t *table, gv schema.GroupVersion, folder string) (string, []*resource, error) {
	scheme, err := schemeOf(gv)
	if err != nil {
		return "", nil, err
	}
	known := scheme.KnownTypes(gv)
	path := packageOf(known)
	pkg := ""
	for kind, g := range known {
		if g.PkgPath() != path {
			continue
		}
		name := t.add(g)
		if _, own := split(name); own != kind {
			return "", nil, fmt.Errorf("%s: the kind %s has the type %s", gv, kind, name)
		}
		t.types[name].kind = "kind"
		t.kinds[gv.String()+" "+kind] = name
		pkg, _ = split(name)
	}
	resources, err := readResources(folder, gv)
	if err != nil {
		return "", nil, err
	}
	handlers := printHandlers()
	for _, r := range resources {
		if err := r.storedAs(schemes); err != nil {
			return "", nil, err
		}
		if r.columns, err = columnsOf(handlers, schemes, r); err != nil {
			return "", nil, err
		}
		root := t.types[pkg+"."+r.Kind]
		if root == nil {
			return "", nil, fmt.Errorf("%s: no type %s", r.Name, r.Kind)
		}
		if hasVerb(r.Verbs, "list") {
			r.labels = t.labelsOf(scheme, gv.WithKind(r.Kind), root)
		}
	}
	return pkg, resources, nil
}

func run(out, discovery, release string) error {
	t := &table{types: map[string]*typ{}, kinds: map[string]string{}, unshown: map[string]bool{}}
	for _, root := range meta {
		if this := t.types[t.add(reflect.TypeOf(root))]; this != nil {
			this.kind = metaKind(this.goType)
		}
	}
	packages := map[string]schema.GroupVersion{}
	resources := map[string][]*resource{}
	for _, text := range served {
		gv, err := schema.ParseGroupVersion(text)
		if err != nil {
			return err
		}
		pkg, own, err := addVersion(t, gv, discovery)
		if err != nil {
			return err
		}
		packages[pkg] = gv
		resources[pkg] = own
	}
	for pkg, gv := range map[string]schema.GroupVersion{
		"io.k8s.apimachinery.pkg.apis.meta.v1": metav1.SchemeGroupVersion,
		"io.k8s.api.admission.v1":              admissionv1.SchemeGroupVersion,
		"io.k8s.api.apidiscovery.v2":           discoveryv2.SchemeGroupVersion,
	} {
		packages[pkg] = gv
	}
	definitions := openapi.GetOpenAPIDefinitions(func(path string) spec.Ref {
		return spec.MustCreateRef(refPrefix + path)
	})
	t.mergeOpenAPI(definitions)
	fields := t.fieldsByText(definitions)
	for _, own := range resources {
		for _, r := range own {
			r.describe(fields)
		}
	}
	published, err := readMessages(t)
	if err != nil {
		return err
	}
	t.checkMessages(published)
	t.staleExceptions()
	fixtures, err := t.readFixtures()
	if err != nil {
		return err
	}
	if len(t.errs) > 0 {
		sort.Strings(t.errs)
		return fmt.Errorf("%d contradictions:\n%s", len(t.errs), strings.Join(t.errs, "\n"))
	}
	report(t, resources, len(published), fixtures)
	return write(out, release, t, packages, resources)
}

func report(t *table, resources map[string][]*resource, messages, fixtures int) {
	fields, kinds, all, subs := 0, 0, 0, 0
	for _, this := range t.types {
		fields += len(this.fields)
		if this.kind != "" {
			kinds++
		}
	}
	for _, own := range resources {
		all += len(own)
		for _, r := range own {
			subs += len(r.subs)
		}
	}
	fmt.Printf("%d types (%d kinds), %d fields, %d resources, %d subresources\n", len(t.types), kinds, fields, all, subs)
	fmt.Printf("checked against %d messages and %d fixtures; fixtures leave out: %v\n", messages, fixtures, slices.Sorted(maps.Keys(t.unshown)))
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: extract FACTS-FOLDER RELEASE, inside a copy of k8s.io/kubernetes")
		os.Exit(2)
	}
	if err := run(os.Args[1], filepath.Join("api", "discovery"), os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "extract:", err)
		os.Exit(1)
	}
}
