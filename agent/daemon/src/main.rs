//! Arguments to exit code; everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    lamplighter::cli::main(std::env::args_os())
}
