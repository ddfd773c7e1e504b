//! Revisions, snapshots, the watch log and compaction over an ordered map in memory; a backend makes writes durable.
//!
//! Pure core: the map, the event ring and the envelope.
//!
//! It must know neither JSON nor Kubernetes.
