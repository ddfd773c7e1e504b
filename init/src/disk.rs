//! The state disk: recognising what is on a block device, finding the right one, and deciding what to do with it.

pub mod contents;
pub mod events;
pub mod find;
pub mod format;
pub mod gpt;
pub mod grow;
pub mod plan;
pub mod template;
