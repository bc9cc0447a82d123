//! `flotilla snapshot`: a directory that a broker can start from, made of another.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use flotilla_store::{Error, copy_closed};
use serde::{Deserialize, Serialize};

use crate::{
    FAILURE, WRONG,
    ask::{Unanswered, ask},
    cli,
    config::{self, Overrides},
    ops::control::snapshot_request,
    print, refuse,
};

/// The store within a data directory.
pub(crate) const STORE: &str = "store";
/// The development certificates, which clients may already trust.
const CERTIFICATES: &str = "certs";

/// A snapshot that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    files: u64,
    bytes: u64,
}

/// Asks the broker that runs on the data directory; does it itself when none runs.
pub(crate) fn run(arguments: &cli::Snapshot) -> ExitCode {
    let overrides = Overrides { data: arguments.data.clone(), ..Overrides::default() };
    let data = match config::load(arguments.config.as_deref(), &overrides) {
        Ok(settings) => settings.data,
        Err(refusal) => return refuse(WRONG, &refusal),
    };
    // The broker has another working directory.
    let target = match std::path::absolute(&arguments.dir) {
        Ok(target) => target,
        Err(error) => return refuse(WRONG, &format!("'{}': {error}", arguments.dir.display())),
    };
    let start = Instant::now();
    let tell = |said: &str| eprintln!("{said}");
    let taken = match ask(&data, "/snapshot", snapshot_request(&target), tell) {
        Ok(taken) => serde_json::from_value(taken).map_err(|error| error.to_string()),
        Err(Unanswered::Refused(sentence)) => Err(sentence),
        Err(Unanswered::NobodyThere) => {
            let copy = |to: &Path| copy_closed(&data.join(STORE), to);
            take(&data, &target, &copy, &|said| {
                tell(said);
                true
            })
        }
    };
    match taken {
        Ok(Taken { files, bytes }) => print(&format!(
            "{}: {files} files, {:.1} MiB, in {:.1} s; a broker starts from it with --data {}\n",
            target.display(),
            bytes as f64 / f64::from(1 << 20),
            start.elapsed().as_secs_f64(),
            target.display(),
        )),
        Err(sentence) => refuse(FAILURE, &sentence),
    }
}

/// Makes a snapshot of the data directory in `target`, which is there afterwards, on the disk, or is
/// not. `copy` copies the store. `told` hears how far it has come, and says whether to go on.
///
/// # Errors
/// A sentence, when something is there already, or cannot be read or written.
pub(crate) fn take(
    data: &Path,
    target: &Path,
    copy: &dyn Fn(&Path) -> Result<(), Error>,
    told: &dyn Fn(&str) -> bool,
) -> Result<Taken, String> {
    if !is_free(target) {
        let target = target.display();
        return Err(format!("'{target}' is there already: name a directory that is new, or empty"));
    }
    let partial = partial(target)?;
    // Until it is complete, it is nobody's business.
    DirBuilder::new().mode(0o700).create(&partial).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => format!(
            "'{}' is there, left by a snapshot that was cut off, or one that is being made: remove \
             it when no snapshot runs",
            partial.display()
        ),
        _ => format!("'{}' cannot be made: {error}", partial.display()),
    })?;
    let taken = fill(data, &partial, copy, told).and_then(|taken| {
        publish(&partial, target).map(|()| taken).map_err(|error| {
            format!("'{}' cannot become '{}': {error}", partial.display(), target.display())
        })
    });
    if taken.is_err() {
        // What cannot be removed is named when somebody tries again.
        let _ = fs::remove_dir_all(&partial);
    }
    taken
}

fn is_free(target: &Path) -> bool {
    match fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Beside the target: only on one file system can a directory be renamed.
fn partial(target: &Path) -> Result<PathBuf, String> {
    let name = target.file_name();
    let mut name =
        name.ok_or_else(|| format!("'{}' names no directory", target.display()))?.to_owned();
    name.push(".partial");
    Ok(target.with_file_name(name))
}

fn fill(
    data: &Path,
    partial: &Path,
    copy: &dyn Fn(&Path) -> Result<(), Error>,
    told: &dyn Fn(&str) -> bool,
) -> Result<Taken, String> {
    let go_on = |said: &str| {
        if told(said) { Ok(()) } else { Err("whoever asked for the snapshot is gone".to_owned()) }
    };
    let broken = |at: &Path, error: &io::Error| format!("'{}': {error}", at.display());
    go_on("copying the store")?;
    copy(&partial.join(STORE)).map_err(|error| error.to_string())?;
    go_on("copying the rest")?;
    let (from, to) = (data.join(CERTIFICATES), partial.join(CERTIFICATES));
    if from.is_dir() {
        copy_files(&from, &to).map_err(|error| broken(&from, &error))?;
    }
    let mut taken = Taken { files: 0, bytes: 0 };
    count(partial, &mut taken).map_err(|error| broken(partial, &error))?;
    let mode = fs::metadata(data).map(|data| data.permissions());
    mode.and_then(|mode| fs::set_permissions(partial, mode))
        .map_err(|error| broken(partial, &error))?;
    go_on("complete")?;
    Ok(taken)
}

/// The files of a directory, each on the disk when this returns.
fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let copy = to.join(entry.file_name());
            fs::copy(entry.path(), &copy)?;
            File::open(&copy)?.sync_all()?;
        }
    }
    File::open(to)?.sync_all()
}

fn count(dir: &Path, taken: &mut Taken) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            count(&entry.path(), taken)?;
        } else {
            taken.files += 1;
            taken.bytes += entry.metadata()?.len();
        }
    }
    Ok(())
}

fn publish(partial: &Path, target: &Path) -> io::Result<()> {
    File::open(partial)?.sync_all()?;
    fs::rename(partial, target)?;
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(to: &Path) -> Result<(), Error> {
        fs::create_dir(to).unwrap();
        fs::write(to.join("1.sst"), "table").unwrap();
        Ok(())
    }

    #[test]
    fn all_or_nothing() {
        let home = tempfile::tempdir().unwrap();
        let (data, target) = (home.path().join("data"), home.path().join("copy"));
        fs::create_dir_all(data.join("certs")).unwrap();
        fs::write(data.join("certs/ca.pem"), "ca").unwrap();
        let partial = home.path().join("copy.partial");

        let gone = take(&data, &target, &store, &|said| said != "complete").unwrap_err();
        assert!(gone.contains("gone"), "{gone}");
        let reason = "disk full".to_owned();
        let fails = |to: &Path| Err(Error::NoCopy { to: to.to_owned(), reason: reason.clone() });
        let failed = take(&data, &target, &fails, &|_| true).unwrap_err();
        assert!(failed.contains("disk full"), "{failed}");
        assert!(!partial.exists() && !target.exists());

        // An empty directory may be a mount point that is waiting.
        fs::create_dir(&target).unwrap();
        let taken = take(&data, &target, &store, &|_| true).unwrap();
        assert_eq!(taken, Taken { files: 2, bytes: 7 });
        assert_eq!(fs::read(target.join("certs/ca.pem")).unwrap(), b"ca");
        assert!(!partial.exists());

        let again = take(&data, &target, &store, &|_| true).unwrap_err();
        assert!(again.contains("there already"), "{again}");
        let target = home.path().join("other");
        fs::create_dir(home.path().join("other.partial")).unwrap();
        let left = take(&data, &target, &store, &|_| true).unwrap_err();
        assert!(left.contains("other.partial"), "{left}");
    }
}
