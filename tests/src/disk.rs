//! A disk of its own for a broker: an ext4 image that can lose its power, or be full.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::DEADLINE;

/// `EXT4_IOC_SHUTDOWN`, which is `_IOR('X', 125, __u32)`, with `EXT4_GOING_FLAGS_NOLOGFLUSH`:
/// nothing that is not on the disk will be. Perl and Python have ioctl without unsafe code.
const SHUTDOWN: [(&str, &str); 2] = [
    (
        "perl",
        "open(my $d, '<', $ARGV[0]) or die $!; \
         ioctl($d, 0x8004587d, my $how = pack('L', 2)) or die $!",
    ),
    (
        "python3",
        "import fcntl, os, struct, sys; \
         fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))",
    ),
];

/// A mounted image. Dropped, it is unmounted and removed.
#[derive(Debug)]
pub struct Disk {
    home: TempDir,
    guard: Child,
}

impl Disk {
    /// Makes an image of so many bytes and mounts it.
    ///
    /// # Errors
    /// Why that is not possible here: no root, no loop devices, no `mkfs.ext4`.
    pub fn make(bytes: u64) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("mounting a disk needs root".to_owned());
        }
        let home = tempfile::Builder::new().prefix("flotilla-disk-").tempdir();
        let home = home.map_err(|error| format!("no temporary directory: {error}"))?;
        let image = home.path().join("image");
        File::create(&image)
            .and_then(|file| file.set_len(bytes))
            .map_err(|error| format!("{}: {error}", image.display()))?;
        // Few bytes for the tables of the file system: the image is small.
        run("mkfs.ext4", &["-q", "-F", "-m", "0"], &[&image])?;
        std::fs::create_dir(home.path().join("mounted")).map_err(|error| error.to_string())?;
        let guard = guard(home.path()).map_err(|error| format!("no shell: {error}"))?;
        let disk = Self { home, guard };
        disk.mount()?;
        Ok(disk)
    }

    /// As [`Disk::make`]; where it is not possible, says so and why, for everybody to see, and
    /// returns `None`.
    pub fn make_or_skip(bytes: u64, test: &str) -> Option<Self> {
        match Self::make(bytes) {
            Ok(disk) => Some(disk),
            Err(reason) => {
                // The test runner would swallow what `eprintln` writes.
                let line = format!("SKIPPED: {test}: {reason}\n");
                let _ = std::io::stderr().write_all(line.as_bytes());
                None
            }
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.home.path().join("mounted")
    }

    /// Fills it with a file of no use, up to so many bytes.
    ///
    /// # Panics
    /// When the file cannot be written for another reason than that there is no room.
    pub fn fill_up_to(&self, bytes_left: u64) {
        let path = self.ballast();
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut chunk = &[0x55; 1 << 20][..];
        loop {
            match file.write(chunk) {
                Ok(_) => {}
                // The last bytes, too.
                Err(error) if is_full(&error) && chunk.len() > 4096 => chunk = &chunk[..4096],
                Err(error) if is_full(&error) => break,
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
        let taken = file.metadata().map_or(0, |it| it.len());
        file.set_len(taken.saturating_sub(bytes_left)).expect("a file can be made shorter");
        file.sync_all().expect("what is there can be synced");
    }

    /// Takes that file away.
    ///
    /// # Panics
    /// When it is not there.
    pub fn make_room(&self) {
        std::fs::remove_file(self.ballast()).expect("the disk was filled");
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Loses what was not written through, and all that is written from now on.
    ///
    /// # Panics
    /// When the machine does not allow it: neither Perl nor Python.
    pub fn cut_power(&self) {
        let cut = |(language, program): (&str, &str)| {
            let flag = if language == "perl" { "-e" } else { "-c" };
            run(language, &[flag, program], &[&self.path()])
        };
        let [perl, python] = SHUTDOWN;
        let done =
            cut(perl).or_else(|first| cut(python).map_err(|then| format!("{first}; {then}")));
        done.unwrap_or_else(|reason| panic!("the file system cannot be shut down: {reason}"));
    }

    /// Unmounts and mounts it again, as a machine does that has power again.
    ///
    /// # Panics
    /// When somebody still has a file open on it.
    pub fn mount_again(&self) {
        let until = Instant::now() + DEADLINE;
        while let Err(reason) = self.unmount() {
            assert!(Instant::now() < until, "{reason}");
            thread::sleep(Duration::from_millis(20));
        }
        self.mount().unwrap_or_else(|reason| panic!("{reason}"));
    }

    fn mount(&self) -> Result<(), String> {
        let image = self.home.path().join("image");
        run("mount", &["-t", "ext4", "-o", "loop,commit=1"], &[&image, &self.path()])
    }

    fn unmount(&self) -> Result<(), String> {
        run("umount", &[], &[&self.path()])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.unmount().is_err() {
            let _ = run("umount", &["-l"], &[&self.path()]);
        }
        let _ = self.guard.kill();
        let _ = self.guard.wait();
    }
}

/// Unmounts when the test process goes without doing so.
fn guard(home: &Path) -> std::io::Result<Child> {
    Command::new("sh")
        .args(["-c", "read _; sleep 0.5; umount -l \"$1/mounted\"; rm -rf \"$1\"", "guard"])
        .arg(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

fn is_full(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::StorageFull
}

fn run(program: &str, arguments: &[&str], paths: &[&Path]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).args(paths).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {} ({})", said.trim(), output.status))
}
