//! The two programs that are compared, each on core 0.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{ECHO, Failure, process::Running};

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    /// This program, as the echo.
    Echo,
    /// The agent at this path: one server without security, no devices, no page.
    Lamplighter(String),
}

impl Client {
    pub(crate) fn start(&self, port: u16) -> Result<Running, Failure> {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).stdin(Stdio::null());
        match self {
            Self::Echo => {
                command
                    .arg(std::env::current_exe()?)
                    .args([ECHO, &port.to_string()]);
            }
            Self::Lamplighter(program) => {
                let home = home();
                configure(&home, port)?;
                command
                    .arg(program)
                    .arg("--config")
                    .arg(home.join("lamplighter.toml"));
                command.arg("--state-dir").arg(home.join("state"));
                command.arg("--run-dir").arg(home.join("run"));
                command
                    .arg("run")
                    .stderr(fs::File::create(home.join("log"))?);
            }
        }
        Ok(Running(command.spawn()?))
    }
}

/// Where the agent's files are.
pub(crate) fn home() -> PathBuf {
    std::env::temp_dir().join(format!("lamplighter-bench-{}", std::process::id()))
}

/// Nothing of an earlier round stays.
fn configure(home: &Path, port: u16) -> Result<(), Failure> {
    if home.exists() {
        fs::remove_dir_all(home)?;
    }
    fs::create_dir_all(home)?;
    let mut file = fs::File::create(home.join("lamplighter.toml"))?;
    write!(
        file,
        "[client]\nendpoint = \"bench\"\n\n[server.main]\nuri = \"coap://127.0.0.1:{port}\"\n\
         short_id = 101\nsecurity = {{ mode = \"none\" }}\nallow_unsecured = true\n",
    )?;
    Ok(())
}
