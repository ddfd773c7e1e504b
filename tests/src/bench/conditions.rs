//! What a table of figures is worth nothing without: when, on which host, with which emulator and image.

use crate::harness::Built;
use image::build::Manifest;
use serde_json::Value;

/// What is known before anything runs.
pub fn of(built: &Built) -> Vec<(String, String)> {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_else(|error| format!("{path}: {error}"));
    let load = text("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    let cores = std::thread::available_parallelism().map_or_else(|error| error.to_string(), |count| count.to_string());
    let date = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M %Z").to_string();
    let image = Manifest::read(&built.image).map_or("one without a readable manifest".to_owned(), |manifest| {
        let docker = if manifest.docker { "with" } else { "without" };
        let inputs = manifest.inputs.get(..12).unwrap_or(&manifest.inputs).to_owned();
        format!("version {}, {docker} Docker, inputs {inputs}", manifest.version)
    });
    [
        ("date", date),
        ("host", format!("{cores} cores, {}", processor(&text("/proc/cpuinfo")))),
        ("load average of the host at the start", load),
        ("emulator", built.emulator.clone()),
        ("image", image),
    ]
    .map(|(what, value)| (what.to_owned(), value))
    .to_vec()
}

/// What a machine that runs says of itself.
pub fn of_machine(status: &Value) -> Vec<(String, String)> {
    let accelerator = status["accelerator"].as_str().unwrap_or("unknown");
    let machine = format!("{} CPUs, {} MiB, accelerator {accelerator}", status["cpus"], status["memory_mb"]);
    vec![("machine".to_owned(), machine)]
}

/// The model of the first processor in `/proc/cpuinfo`.
fn processor(text: &str) -> String {
    let model = text.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':'])).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_named() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: AMD EPYC\nmodel name\t: AMD EPYC\n"), "AMD EPYC");
        assert_eq!(processor(""), "unknown processor");
    }
}
