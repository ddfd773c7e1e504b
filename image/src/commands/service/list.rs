//! `skerry service list`: every Service that is reached on the host, or should be.

use super::{Context, Line, get, lines};
use crate::cluster::ask::Report;
use crate::cluster::{Cluster, life};
use anyhow::Result;
use serde_json::json;

/// Shows them.
pub async fn run(cluster: &Cluster, context: &Context) -> Result<()> {
    let services = get(context, cluster, "/api/v1/services".to_owned()).await?;
    let report: Report = life::running(cluster).await?.ask(&json!({"do": "status"})).await?;
    let outside = services["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|service| matches!(service["spec"]["type"].as_str(), Some("NodePort" | "LoadBalancer")));
    let all: Vec<Line> = outside.flat_map(|service| lines(service, &report)).collect();
    if all.is_empty() {
        context.output.say("No Service is of type NodePort or LoadBalancer.");
    }
    let shown = if all.is_empty() { String::new() } else { text(&all) };
    Ok(context.output.data(&shown, &all)?)
}

/// A table, each column as wide as its widest word.
pub fn text(lines: &[Line]) -> String {
    let mut rows = vec![["NAMESPACE", "NAME", "PORT", "TARGET", "URL", "NOTE"].map(str::to_owned)];
    for line in lines {
        let port =
            if line.port_name.is_empty() { line.port.to_string() } else { format!("{}/{}", line.port_name, line.port) };
        rows.push([
            line.namespace.clone(),
            line.name.clone(),
            port,
            line.target_port.clone(),
            line.url.clone().unwrap_or_else(|| "-".to_owned()),
            line.note.clone().unwrap_or_default(),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
