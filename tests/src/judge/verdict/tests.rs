//! Reports of ginkgo in small, and what the judge says about them.

use super::*;

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|n| (*n).to_owned()).collect()
}

fn spec(kind: &str, name: &str, state: &str, message: &str) -> String {
    format!(
        r#"{{"ContainerHierarchyTexts":["[sig-x] Thing"],"LeafNodeType":"{kind}","LeafNodeText":"{name}","State":"{state}","Failure":{{"Message":"{message}"}}}}"#
    )
}

fn report(specs: &[String]) -> String {
    format!(r#"[{{"SpecReports":[{}]}}]"#, specs.join(","))
}

#[test]
fn each_state_becomes_its_verdict() {
    let report = report(&[
        spec("It", "a", "passed", ""),
        spec("It", "b", "failed", "wanted 1\\n got 2"),
        spec("It", "c", "skipped", "needs two nodes"),
        spec("It", "d", "timedout", ""),
        spec("It", "e", "passed", "not asked for"),
    ]);
    let wanted = names(&["[sig-x] Thing a", "[sig-x] Thing b", "[sig-x] Thing c", "[sig-x] Thing d"]);
    let got = outcomes(&report, &wanted).unwrap();
    assert_eq!(got.len(), 4);
    assert_eq!(got["[sig-x] Thing a"], Outcome::Passed);
    assert_eq!(got["[sig-x] Thing b"], Outcome::failed("failed: wanted 1 got 2"));
    assert_eq!(got["[sig-x] Thing c"], Outcome::Skipped("needs two nodes".into()));
    assert_eq!(got["[sig-x] Thing d"], Outcome::failed("timedout"));
}

#[test]
fn a_test_without_a_result_has_failed() {
    let report = report(&[spec("It", "a", "skipped", "")]);
    let got = outcomes(&report, &names(&["[sig-x] Thing a", "[sig-x] Thing b"])).unwrap();
    assert_eq!(got["[sig-x] Thing a"], Outcome::failed("did not run"));
    assert_eq!(got["[sig-x] Thing b"], Outcome::failed("did not run"));
}

#[test]
fn a_failed_set_up_is_the_reason_of_every_test() {
    let setup = spec("SynchronizedBeforeSuite", "", "failed", "no service kubernetes");
    let report = report(&[setup, spec("It", "a", "skipped", "")]);
    let got = outcomes(&report, &names(&["[sig-x] Thing a"])).unwrap();
    assert_eq!(got["[sig-x] Thing a"], Outcome::failed("the set-up of the suite failed: no service kubernetes"));
}

#[test]
fn the_focus_matches_names_with_brackets_literally() {
    let name = "[sig-x] Thing should do (all) [Conformance]";
    let focus = regex::Regex::new(&focus(&names(&[name]))).unwrap();
    assert!(focus.is_match(name));
    assert!(!focus.is_match("s Thing should do all C"));
}

#[test]
fn names_are_read_from_the_list_of_tests() {
    let text = "The following spec names can be used:\n    test/e2e/a.go:12: [sig-x] Thing a: b [Conformance]\n\n";
    assert_eq!(listed(text), names(&["[sig-x] Thing a: b [Conformance]"]));
}

#[test]
fn the_summary_ends_with_the_counts() {
    let outcomes = BTreeMap::from([
        ("a".to_owned(), Outcome::Passed),
        ("b".to_owned(), Outcome::failed("no")),
        ("c".to_owned(), Outcome::Skipped("why".into())),
    ]);
    let text = summary(&outcomes);
    assert!(text.contains("FAILED b\n       no\n"), "{text}");
    assert!(text.ends_with("\n1 passed, 1 failed, 1 skipped"), "{text}");
}
