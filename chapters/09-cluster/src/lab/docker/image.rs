//! The lab's own images, made of programs that are there: no registry is asked.
//!
//! | image | what it is |
//! | --- | --- |
//! | `workshop/node:DIGEST` | this program, alone: what a node is, and `pause` |
//! | `workshop/dns` | the same, as the cluster's name server |
//! | `workshop/echo` | the web server of `images/echo` |
//! | `workshop/shell` | a shell and what else this machine has of a list, with its libraries |

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use bollard::query_parameters::{BuildImageOptions, ListImagesOptions};
use futures::StreamExt;
use tar::{Builder, Header};

use super::engine::{Engine, failed};
use crate::lab::Error;

/// Label with the digest of what an image was made from.
pub const LABEL: &str = "workshop.image";

/// Programs of `workshop/shell`, where the machine has them.
const TOOLS: &str = "sh bash env cat ls echo printf test true false seq sleep date id hostname \
    uname mkdir rmdir rm cp mv ln touch chmod chown head tail wc sort uniq cut tr sed grep awk \
    find xargs tee dd df du stat mount ps kill timeout nproc ip ss ping curl wget dig nslookup \
    getent tar gzip base64 sha256sum mkfifo readlink realpath basename dirname whoami";

/// Libraries that programs load by name, at run time.
const LOADED_BY_NAME: [&str; 3] = ["libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2"];

/// Makes all images that are not there yet. Returns the reference of the node's.
///
/// # Errors
/// When a program cannot be read, or the engine cannot build.
pub async fn ensure(engine: &Engine) -> Result<String, Error> {
    let program = std::env::current_exe().map_err(Error::system("find this program"))?;
    let known = known(engine).await?;

    let node = Image::of_program("/cluster", &program)?;
    let digest = node.digest();
    let tag = format!("workshop/node:{}", &digest[..12]);
    let dns = Image {
        base: Some(tag.clone()),
        files: BTreeMap::new(),
        instructions: vec![r#"ENTRYPOINT ["/cluster", "dns"]"#.into()],
    };
    let echo = Image::of_program("/echo", &program.with_file_name("echo"))?;
    let images = [
        (tag.clone(), node),
        ("workshop/dns:latest".into(), dns),
        ("workshop/echo:latest".into(), echo),
        ("workshop/shell:latest".into(), shell()?),
    ];
    for (reference, image) in images {
        if known.get(&reference) != Some(&image.digest()) {
            image.build(engine, &reference).await?;
        }
    }
    Ok(tag)
}

/// Our images that the engine has: what each was made from.
async fn known(engine: &Engine) -> Result<HashMap<String, String>, Error> {
    let filters = HashMap::from([("label".to_owned(), vec![LABEL.to_owned()])]);
    let options = ListImagesOptions {
        filters: Some(filters),
        ..ListImagesOptions::default()
    };
    let listed = engine.docker.list_images(Some(options)).await;
    let mut known = HashMap::new();
    for image in listed.map_err(failed("list images"))? {
        let digest = image.labels.get(LABEL).cloned().unwrap_or_default();
        for tag in image.repo_tags {
            known.insert(tag, digest.clone());
        }
    }
    Ok(known)
}

/// What an image is made from.
struct Image {
    /// The image below it; none is `scratch`.
    base: Option<String>,
    /// Contents and modes of its files, by absolute path.
    files: BTreeMap<PathBuf, (Vec<u8>, u32)>,
    /// Further lines of its Dockerfile.
    instructions: Vec<String>,
}

impl Image {
    /// A program that is all there is; one that is not static gets its libraries along.
    fn of_program(path: &str, program: &Path) -> Result<Self, Error> {
        let passwd = "root:x:0:0:root:/:/\nnobody:x:65534:65534:nobody:/:/\n";
        let mut files = BTreeMap::from([
            (path.into(), (read(program)?, 0o755)),
            ("/etc/passwd".into(), (passwd.into(), 0o644)),
            ("/tmp/.keep".into(), (Vec::new(), 0o644)),
        ]);
        for library in libraries_of(program) {
            let bytes = read(&library)?;
            files.insert(library, (bytes, 0o755));
        }
        Ok(Self {
            base: None,
            files,
            instructions: vec![format!("ENTRYPOINT [{path:?}]")],
        })
    }

    fn dockerfile(&self) -> String {
        let base = self.base.as_deref().unwrap_or("scratch");
        let copy = if self.files.is_empty() {
            ""
        } else {
            "COPY root/ /\n"
        };
        format!("FROM {base}\n{copy}{}\n", self.instructions.join("\n"))
    }

    /// Names what it is made from: another content is another digest.
    fn digest(&self) -> String {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(self.dockerfile().as_bytes());
        for (path, (bytes, mode)) in &self.files {
            context.update(path.as_os_str().as_encoded_bytes());
            context.update(&mode.to_le_bytes());
            context.update(&(bytes.len() as u64).to_le_bytes());
            context.update(bytes);
        }
        let digest = context.finish();
        digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    async fn build(&self, engine: &Engine, reference: &str) -> Result<(), Error> {
        let options = BuildImageOptions {
            t: Some(reference.to_owned()),
            rm: true,
            labels: Some(HashMap::from([(LABEL.to_owned(), self.digest())])),
            ..BuildImageOptions::default()
        };
        let context = bollard::body_full(self.context()?.into());
        let mut steps = engine.docker.build_image(options, None, Some(context));
        while let Some(step) = steps.next().await {
            let step = step.map_err(failed("build an image"))?;
            if let Some(error) = step.error_detail.and_then(|detail| detail.message) {
                return Err(Error::Machine(format!(
                    "the Docker engine cannot build {reference}: {error}"
                )));
            }
        }
        Ok(())
    }

    /// The build's context, a tar archive.
    fn context(&self) -> Result<Vec<u8>, Error> {
        let mut tar = Builder::new(Vec::new());
        let mut add = |path: &Path, bytes: &[u8], mode: u32| {
            let mut header = Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(mode);
            tar.append_data(&mut header, path, bytes)
                .map_err(Error::system("an archive"))
        };
        add(Path::new("Dockerfile"), self.dockerfile().as_bytes(), 0o644)?;
        for (path, (bytes, mode)) in &self.files {
            let path = path.strip_prefix("/").unwrap_or(path);
            add(&Path::new("root").join(path), bytes, *mode)?;
        }
        tar.into_inner().map_err(Error::system("an archive"))
    }
}

/// A shell, and what goes with it.
fn shell() -> Result<Image, Error> {
    let mut files = BTreeMap::new();
    let mut libraries: BTreeSet<PathBuf> = LOADED_BY_NAME
        .iter()
        .filter_map(|name| library(name))
        .collect();
    for tool in TOOLS.split_whitespace() {
        let Some(program) = find(tool) else { continue };
        libraries.extend(libraries_of(&program));
        files.insert(Path::new("/bin").join(tool), (read(&program)?, 0o755));
    }
    for library in libraries {
        let bytes = read(&library)?;
        files.insert(library, (bytes, 0o755));
    }
    let texts = [
        (
            "/etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        ),
        ("/etc/group", "root:x:0:\nnogroup:x:65534:\n"),
        (
            "/etc/nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\n",
        ),
        ("/root/.keep", ""),
        ("/tmp/.keep", ""),
    ];
    for (path, text) in texts {
        files.insert(path.into(), (text.into(), 0o644));
    }
    Ok(Image {
        base: None,
        files,
        instructions: vec![
            "ENV PATH=/bin".into(),
            "WORKDIR /root".into(),
            r#"CMD ["/bin/sh"]"#.into(),
        ],
    })
}

/// A program, by its name, where the machine has it.
fn find(name: &str) -> Option<PathBuf> {
    let dirs = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
    let mut paths = dirs.iter().map(|dir| Path::new(dir).join(name));
    paths.find(|path| path.is_file())
}

/// What the machine's loader says that a program needs; nothing for a static one or a script.
fn libraries_of(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    words
        .map(PathBuf::from)
        .filter(|path| path.is_file())
        .collect()
}

/// A library by its name, beside the C library.
fn library(name: &str) -> Option<PathBuf> {
    let shell = libraries_of(&find("sh")?);
    let mut dirs = shell.iter().filter_map(|path| path.parent());
    dirs.find_map(|dir| Some(dir.join(name)).filter(|path| path.is_file()))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::File {
        path: path.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_all_that_its_image_holds() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = |text: &str| {
            let path = folder.path().join("echo");
            std::fs::write(&path, text).expect("is written");
            Image::of_program("/echo", &path).expect("is read")
        };
        let image = program("elf");
        assert_eq!(
            image.dockerfile(),
            "FROM scratch\nCOPY root/ /\nENTRYPOINT [\"/echo\"]\n"
        );
        let other = program("elf2");
        assert_ne!(image.digest(), other.digest());
        let context = image.context().expect("is made");
        let mut archive = tar::Archive::new(&context[..]);
        let entries = archive.entries().expect("is an archive").flatten();
        let names: Vec<String> = entries
            .map(|entry| entry.path().expect("has one").display().to_string())
            .collect();
        assert_eq!(
            names,
            [
                "Dockerfile",
                "root/echo",
                "root/etc/passwd",
                "root/tmp/.keep"
            ]
        );
    }
}
