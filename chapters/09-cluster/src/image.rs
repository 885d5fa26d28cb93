//! `cluster image`: what the image store of a node is told from outside.

use std::path::PathBuf;

use clap::Subcommand;
use kubelet::runtime::images::{ImageStore, load_archive};

/// `cluster image …`
#[derive(Debug, Subcommand)]
pub enum Image {
    /// Bring the images of a docker-archive or OCI-layout tar into the store
    Load {
        /// The store, which nodes may share
        #[arg(long)]
        image_store: PathBuf,
        /// The archive
        file: PathBuf,
    },
}

/// Does what the command line says.
///
/// # Errors
/// When the file is no such archive, or the store cannot be written.
pub fn run(image: Image) -> anyhow::Result<()> {
    match image {
        Image::Load { image_store, file } => {
            let store = ImageStore::open(&image_store)?;
            for name in load_archive(&store, &file)? {
                println!("Loaded image: {name}");
            }
            Ok(())
        }
    }
}
