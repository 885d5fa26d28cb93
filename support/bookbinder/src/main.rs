//! `cargo xtask book`: builds the book, serves it, checks it.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Result;
use bookbinder::bind;
use bookbinder::files::Disk;
use clap::Parser;

/// Build the book
#[derive(Parser)]
#[command(name = "cargo xtask book", bin_name = "cargo xtask book")]
struct Cli {
    /// Open it in a browser
    #[arg(long)]
    open: bool,
    /// Serve it on 127.0.0.1, and build it again whenever something changes
    #[arg(long, conflicts_with = "check")]
    serve: bool,
    /// The port to serve it on
    #[arg(long, default_value_t = 3000)]
    port: u16,
    /// Say what is wrong with it, and build nothing
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    // What mdBook has to complain about.
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .without_time()
        .init();
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let root = root.expect("the binder lies in the workspace");
    if cli.check {
        return bind::refuse(&bind::check(&Disk::new(root)));
    }
    if cli.serve {
        return bookbinder::serve::run(root, cli.port, |address| {
            println!("The book is at {address}");
            show(cli.open, address);
        });
    }
    let page = bind::build(&Disk::new(root), root)?;
    println!("The book is at {}", page.display());
    show(cli.open, &page.display().to_string());
    Ok(())
}

/// Opens a browser, where that is wanted and there is one.
fn show(wanted: bool, address: &str) {
    if wanted && Command::new("xdg-open").arg(address).spawn().is_err() {
        eprintln!("there is no xdg-open here to open it with");
    }
}
