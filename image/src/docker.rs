//! Building images in a cluster without Docker's client: the folder goes to the machine as Docker's API has it, and what
//! BuildKit tells comes back.

pub mod ignore;
pub mod pack;
pub mod progress;
