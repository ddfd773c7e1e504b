//! Rates from texts: what two looks at a node tell.

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

/// A kubelet's answer after so many seconds: node and container have used half and a tenth of a core since 0.
fn answer(seconds: i64, started: i64) -> String {
    let ms = at(seconds).as_millisecond();
    let labels = "container=\"c\",namespace=\"ns\",pod=\"p\"";
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let (node, own) = (seconds as f64 * 0.5, (seconds - started) as f64 * 0.1);
    format!(
        "node_cpu_usage_seconds_total {node} {ms}\nnode_memory_working_set_bytes 4096 {ms}\n\
         container_cpu_usage_seconds_total{{{labels}}} {own} {ms}\n\
         container_memory_working_set_bytes{{{labels}}} 2048 {ms}\n\
         container_start_time_seconds{{{labels}}} {}\n",
        at(started).as_second()
    )
}

fn look(samples: &mut Samples, seconds: i64, started: i64) {
    let sample = Sample::read(&answer(seconds, started), at(0));
    samples.add(BTreeMap::from([("n".to_owned(), sample)]), at(seconds));
}

#[test]
fn a_rate_is_over_the_time_between_two_samples() {
    let mut samples = Samples::default();
    assert!(!samples.is_fresh(at(0)));
    look(&mut samples, 100, 0);
    assert!(samples.lack_a_window());
    assert_eq!((samples.node("n"), samples.pod("ns", "p")), (None, None));
    look(&mut samples, 102, 0);
    let window = SignedDuration::from_secs(2);
    let used = Used { nano_cores: 500_000_000, memory: 4096, at: at(102), window };
    assert_eq!(samples.node("n"), Some(used));
    let used = Used { nano_cores: 100_000_000, memory: 2048, ..used };
    let (name, found) = samples.pod("ns", "p").unwrap().pop().unwrap();
    assert_eq!((name.as_str(), found.memory), ("c", used.memory));
    assert!(found.nano_cores.abs_diff(used.nano_cores) < 10, "{found:?}");
    assert_eq!(samples.pod("ns", "other"), None);
}

#[test]
fn a_young_pair_answers_and_an_old_sample_begins_no_window() {
    let mut samples = Samples::default();
    look(&mut samples, 0, 0);
    look(&mut samples, 2, 0);
    assert!(samples.is_fresh(at(16)));
    assert!(!samples.is_fresh(at(17)));
    assert!(!samples.is_fresh(at(1)), "the clock was set back");
    look(&mut samples, 20, 0);
    assert_eq!(samples.node("n").unwrap().window, SignedDuration::from_secs(18));
    look(&mut samples, 1000, 0);
    assert!(samples.lack_a_window());
}

#[test]
fn a_container_that_was_started_between_counts_from_its_start() {
    let mut samples = Samples::default();
    look(&mut samples, 100, 0);
    look(&mut samples, 110, 105);
    let used = samples.pod("ns", "p").unwrap()[0].1;
    assert_eq!(used.window, SignedDuration::from_secs(5));
    assert!(used.nano_cores.abs_diff(100_000_000) < 10, "{used:?}");
}

#[test]
fn a_pod_is_left_out_while_one_container_cannot_be_told() {
    let mut samples = Samples::default();
    look(&mut samples, 1000, 0);
    let more = format!(
        "{}container_cpu_usage_seconds_total{{container=\"d\",namespace=\"ns\",pod=\"p\"}} 1\n",
        answer(1002, 0)
    );
    samples.add(BTreeMap::from([("n".to_owned(), Sample::read(&more, at(1002)))]), at(1002));
    assert_eq!(samples.pod("ns", "p"), None);
    assert!(samples.node("n").is_some());
}

#[test]
fn a_node_that_does_not_answer_is_forgotten() {
    let mut samples = Samples::default();
    look(&mut samples, 0, 0);
    look(&mut samples, 2, 0);
    samples.add(BTreeMap::new(), at(20));
    assert_eq!(samples.node("n"), None);
    assert!(!samples.lack_a_window(), "nobody is waited for");
}
