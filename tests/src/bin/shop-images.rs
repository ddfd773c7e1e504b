//! Writes the images of the machine tests as archives into a folder: for `skerry image load`, `docker load` and others.

use anyhow::{Context, bail};
use clap::Parser;
use std::path::PathBuf;
use tests::images::{Workshop, archive, catalog};

/// Makes the container images of the machine tests from Debian's packages.
#[derive(Debug, Parser)]
#[command(name = "shop-images")]
struct Arguments {
    /// Where the archives go
    #[arg(value_name = "FOLDER", required_unless_present = "update_lock")]
    folder: Option<PathBuf>,
    /// Pin the newest version of every package
    #[arg(long)]
    update_lock: bool,
    /// Make only an image that holds the static program FILE, named NAME:TAG
    #[arg(long, value_name = "NAME:TAG=FILE", requires = "folder")]
    program: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.update_lock {
        Workshop::renew_pins()?;
    }
    let Some(folder) = arguments.folder else { return Ok(()) };
    if let Some(program) = arguments.program {
        let Some((name, file)) = program.split_once('=') else { bail!("--program wants NAME:TAG=FILE") };
        let file = PathBuf::from(file);
        let content = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        let stem = file.file_name().and_then(|name| name.to_str()).context("a file with a name")?;
        std::fs::create_dir_all(&folder)?;
        let place = folder.join(format!("{stem}.tar"));
        std::fs::write(&place, archive::of_program(name, stem, content)?)?;
        println!("{name}\t{}", place.display());
        return Ok(());
    }
    let workshop = Workshop::open()?;
    for image in catalog::IMAGES {
        println!("{}\t{}", image.name, workshop.make(image, &folder)?.display());
    }
    Ok(())
}
