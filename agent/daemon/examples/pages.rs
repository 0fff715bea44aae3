//! Writes what the package takes from the definition of the command line and of our objects: manual
//! pages (`man/`), completions (`completions/`), OMA XML of all objects (`objects/`).
//!
//! `cargo run --package lamplighter --example pages -- DIRECTORY`

use std::{fs, io, path::Path, process::ExitCode};

use clap::CommandFactory as _;
use clap_complete::{Shell, generate_to};
use lamplighter::cli::{self, Cli};

fn main() -> io::Result<ExitCode> {
    let Some(directory) = std::env::args_os().nth(1) else {
        return Err(io::Error::other("which directory?"));
    };
    let directory = Path::new(&directory);
    let [man, completions, objects] =
        ["man", "completions", "objects"].map(|name| directory.join(name));
    for made in [&man, &completions] {
        fs::create_dir_all(made)?;
    }
    clap_mangen::generate_to(Cli::command(), &man)?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        generate_to(shell, &mut Cli::command(), "lamplighter", &completions)?;
    }
    // Of no configuration: all that are built in.
    let export = ["lamplighter", "objects", "export"].map(Into::into);
    let nothing = ["--config".into(), directory.join("none").into_os_string()];
    let arguments = export.into_iter().chain([objects.into_os_string()]);
    Ok(cli::main(arguments.chain(nothing)))
}
