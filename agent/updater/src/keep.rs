//! The package that is installed, so that it can be installed again. Where nobody kept it as it came,
//! it is packed from what is installed: files, scripts and fields as dpkg knows them.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    time::Duration,
};

use crate::{
    commands::{self, Ran},
    files,
    verify::NAME,
};

/// Where the package has its conffiles as they came: what an administrator changed must not become
/// what dpkg takes for the original.
const PRISTINE: &str = "/usr/share/lamplighter/pristine";
/// Packing takes a while on a small board.
const PACKING: Duration = Duration::from_secs(600);

/// Puts the installed package to `to`; `kept` may be the one that was installed by us.
pub(crate) fn installed(version: &str, kept: &Path, to: &Path) -> io::Result<()> {
    let temporary = to.with_extension("new");
    let written = write(version, kept, &temporary);
    if written.is_err() {
        // Half of it only takes room.
        let _ = files::remove(&temporary);
    }
    written?;
    files::put_in_place(&temporary, to)
}

fn write(version: &str, kept: &Path, to: &Path) -> io::Result<()> {
    if version_of(kept).as_deref() == Some(version) {
        return files::copy(&mut fs::File::open(kept)?, to, u64::MAX, 0o600).map(|_| ());
    }
    let tree = to.with_extension("tree");
    clear(&tree)?;
    let packed = pack(&tree, to);
    clear(&tree)?;
    packed?;
    fs::File::open(to)?.sync_all()
}

/// `None`: there is no package.
pub(crate) fn version_of(package: &Path) -> Option<String> {
    let ran = commands::run("dpkg-deb", |command| {
        command.arg("-f").arg(package).arg("Version")
    });
    let ran = ran.and_then(Ran::succeeded).ok()?;
    Some(ran.output.trim().to_owned())
}

fn pack(tree: &Path, to: &Path) -> io::Result<()> {
    let control = tree.join("DEBIAN");
    directory(tree)?;
    directory(&control)?;
    let known = Known::read(&ask(&["-s", NAME])?);
    for path in ask(&["-L", NAME])?.lines() {
        let Some(inside) = path.strip_prefix('/').filter(|path| !path.is_empty()) else {
            continue;
        };
        if known.conffiles.iter().any(|conffile| conffile == path) {
            copy(&Path::new(PRISTINE).join(inside), &tree.join(inside))?;
        } else {
            copy(Path::new(path), &tree.join(inside))?;
        }
    }
    for name in ask(&["--control-list", NAME])?.lines() {
        let path = ask(&["--control-path", NAME, name])?;
        copy(Path::new(path.trim()), &control.join(name))?;
    }
    let conffiles = known.conffiles.iter();
    let conffiles = conffiles.filter(|path| tree.join(&path[1..]).exists());
    let conffiles: String = conffiles.map(|path| format!("{path}\n")).collect();
    files::replace(&control.join("conffiles"), conffiles.as_bytes(), 0o644)?;
    files::replace(&control.join("control"), known.control.as_bytes(), 0o644)?;
    let options = ["--root-owner-group", "-Zgzip", "-z1", "--build"];
    let built = commands::run_within(
        "dpkg-deb",
        |command| command.args(options).arg(tree).arg(to),
        PACKING,
    );
    built.and_then(Ran::succeeded).map(|_| ())
}

fn ask(arguments: &[&str]) -> io::Result<String> {
    let ran = commands::run("dpkg-query", |command| command.args(arguments));
    Ok(ran.and_then(Ran::succeeded)?.output)
}

/// What dpkg knows of an installed package.
#[derive(Debug, Default, Eq, PartialEq)]
struct Known {
    /// As it stood in the package.
    control: String,
    conffiles: Vec<String>,
}

impl Known {
    /// From `dpkg-query -s`: the fields of the package, and those of its installation.
    fn read(status: &str) -> Self {
        let mut known = Self::default();
        let mut field = "";
        for line in status.lines() {
            if !line.starts_with(' ') {
                field = line.split(':').next().unwrap_or_default();
            }
            match field {
                "Conffiles" => known.conffiles.extend(conffile(line)),
                "Config-Version" | "Status" => {}
                _ => {
                    known.control.push_str(line);
                    known.control.push('\n');
                }
            }
        }
        known
    }
}

/// ` PATH SUM`; what is obsolete is none of the package's any more.
fn conffile(line: &str) -> Option<String> {
    let mut words = line.strip_prefix(' ')?.split(' ');
    let path = words.next().filter(|path| path.starts_with('/'))?;
    let is_obsolete = words.any(|word| word == "obsolete");
    (!is_obsolete).then(|| path.to_owned())
}

/// A file, link or directory as it is; nothing where somebody has taken it away.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if metadata.is_dir() {
        return directory(to);
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    if metadata.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    fs::copy(from, to)?;
    fs::set_permissions(to, metadata.permissions())
}

fn directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn clear(tree: &Path) -> io::Result<()> {
    match fs::remove_dir_all(tree) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_installation_are_no_fields_of_the_package() {
        let status = "\
Package: lamplighter
Status: install ok installed
Priority: optional
Version: 0.1.0
Config-Version: 0.0.9
Depends: libc6 (>= 2.39)
Conffiles:
 /etc/lamplighter/lamplighter.toml 0123456789abcdef0123456789abcdef
 /etc/lamplighter/old.toml 0123456789abcdef0123456789abcdef obsolete
Description: LwM2M gateway agent
 To the network it is a client.
";
        let known = Known::read(status);
        assert_eq!(known.conffiles, ["/etc/lamplighter/lamplighter.toml"]);
        assert_eq!(
            known.control,
            "\
Package: lamplighter
Priority: optional
Version: 0.1.0
Depends: libc6 (>= 2.39)
Description: LwM2M gateway agent
 To the network it is a client.
"
        );
    }
}
