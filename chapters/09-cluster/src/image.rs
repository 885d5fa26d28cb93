//! `cluster image`: what the image store of a node is told from outside.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use kubelet::runtime::images::{ImageStore, load_archive};

/// `cluster image …`
#[derive(Debug, Subcommand)]
pub enum Image {
    /// Bring the images of a docker-archive or OCI-layout tar into the store
    Load {
        /// The store, which nodes may share
        #[arg(long, required_unless_present = "containerd")]
        image_store: Option<PathBuf>,
        /// The socket of a containerd, instead of the store; may be given several times
        #[arg(long)]
        containerd: Vec<PathBuf>,
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
        Image::Load {
            image_store,
            containerd,
            file,
        } => {
            if let Some(store) = image_store {
                let store = ImageStore::open(&store)?;
                for name in load_archive(&store, &file)? {
                    println!("Loaded image: {name}");
                }
            }
            import(&containerd, &file)
        }
    }
}

/// Has every containerd import the archive. What they say is the same.
fn import(sockets: &[PathBuf], file: &Path) -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build()?;
    let each = sockets
        .iter()
        .map(|socket| kubelet::runtime::cri::import(socket, file));
    let said = runtime.block_on(futures::future::try_join_all(each))?;
    if let Some(said) = said.first() {
        println!("{said}");
    }
    Ok(())
}
