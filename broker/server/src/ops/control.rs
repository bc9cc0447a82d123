//! The control socket: what only programs of this machine may ask of a running broker.
//!
//! `DATA/control.sock` belongs to the user who runs the broker, and nobody else can use it. It is
//! made while the store is locked, so a socket that is there already was left by a broker that was
//! killed. It gives the pages of the operations listener, and does what takes long, one thing at a
//! time, telling how far it has come:
//!
//! ```text
//! POST /backlog    "plan", or nothing
//! POST /snapshot   the directory to make
//! POST /verify
//! ```
//!
//! The answer is lines of JSON: `{"progress": TEXT}` any number of times, then `{"done": RESULT}` or
//! `{"failed": SENTENCE}`. It is cut off when the broker ends. When whoever asked goes away, the
//! work is given up.

use std::{
    ffi::OsString,
    fs::{self, File, Permissions},
    io,
    os::{
        fd::AsRawFd,
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::PermissionsExt,
            net::UnixListener as StdListener,
        },
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use flotilla_store::Rocks;
use http_body_util::{BodyExt, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
};
use serde_json::{Value, json};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::{
    net::UnixListener,
    runtime::{Builder, LocalOptions},
    sync::mpsc::{UnboundedSender, unbounded_channel},
};
use tracing::{error, info, warn};

use super::{
    admin::Pages,
    http::{self, Page, text},
    operations::Operations,
};
use crate::{
    backlog::{self, Report},
    snapshot, verify,
};

/// Name of the socket in the data directory.
const NAME: &str = "control.sock";
/// Longest path that every operating system takes as the address of a socket.
const ADDRESS_BYTES_MAX: usize = 100;
/// Longest request.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Connections that the operating system holds until they are accepted.
const BACKLOG: i32 = 64;

/// An open control socket; dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
}

impl Control {
    /// Makes the socket in the data directory, whose store is open, and starts a thread that
    /// answers.
    ///
    /// # Errors
    /// A sentence, when the operating system refuses.
    pub(crate) fn start(
        data: &Path,
        rocks: Arc<Rocks>,
        operations: Arc<Operations>,
    ) -> Result<Self, String> {
        let control = Self { path: data.join(NAME) };
        let refused = |error| format!("no control socket '{}': {error}", control.path.display());
        let socket = listen(&control.path).map_err(refused)?;
        let pages = Pages::new(operations);
        let desk = Desk { data: data.to_path_buf(), rocks, pages, running: Running::default() };
        thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                if let Err(error) = serve(socket, desk) {
                    warn!("the control socket has ended: {error}");
                }
            })
            .map_err(refused)?;
        Ok(control)
    }
}

impl Control {
    /// Nobody may ask any more.
    pub(crate) fn close(&self) {
        // It may be gone already, with its directory.
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.close();
    }
}

/// A way to the socket of a data directory that is short enough for an address.
pub(crate) struct Address {
    path: PathBuf,
    /// Open for as long as the path leads through it.
    _dir: Option<File>,
}

impl Address {
    /// Of the socket in `data`.
    ///
    /// # Errors
    /// When a long path cannot be shortened, because the directory cannot be opened.
    pub(crate) fn of(data: &Path) -> io::Result<Self> {
        let path = data.join(NAME);
        if path.as_os_str().len() <= ADDRESS_BYTES_MAX {
            return Ok(Self { path, _dir: None });
        }
        let dir = File::open(data)?;
        let path = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(NAME);
        Ok(Self { path, _dir: Some(dir) })
    }

    /// The path, as long as this lives.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Nobody can connect between the steps: before `listen` the operating system refuses.
fn listen(path: &Path) -> io::Result<StdListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = Address::of(path.parent().unwrap_or(Path::new("")))?;
    socket.bind(&SockAddr::unix(address.path())?)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn serve(socket: StdListener, desk: Desk) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let socket = UnixListener::from_std(socket)?;
        let accept = async || socket.accept().await.map(|(stream, _)| stream);
        let desk = Arc::new(desk);
        http::serve(accept, move |request| {
            let desk = Arc::clone(&desk);
            async move { desk.answer(request).await }
        })
        .await
    })
}

/// What the answers are made from.
struct Desk {
    data: PathBuf,
    rocks: Arc<Rocks>,
    pages: Pages,
    running: Running,
}

/// What is being done, if anything.
type Running = Arc<Mutex<Option<&'static str>>>;

impl Desk {
    async fn answer(&self, request: Request<Incoming>) -> Response<Page> {
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/backlog") => match read(request).await {
                Ok(wish) => self.backlog(wish == PLAN),
                Err(refusal) => refusal,
            },
            (&Method::POST, "/snapshot") => match read(request).await {
                Ok(target) => self.snapshot(PathBuf::from(OsString::from_vec(target))),
                Err(refusal) => refusal,
            },
            (&Method::POST, "/verify") => self.verify(),
            _ => self.pages.answer(&request).await,
        }
    }

    fn verify(&self) -> Response<Page> {
        let rocks = Arc::clone(&self.rocks);
        self.begin("a check of the store", move |asker| {
            let report = rocks.verify(&|said| asker.hears(said)).map_err(|e| e.to_string())?;
            for finding in &report.damaged {
                error!("the check of the store found damage: {}", verify::sentence(finding));
            }
            serde_json::to_value(report).map_err(|error| error.to_string())
        })
    }

    fn backlog(&self, is_plan: bool) -> Response<Page> {
        let rocks = Arc::clone(&self.rocks);
        self.begin("a look at the backlog", move |_| {
            let backlog = rocks.backlog(is_plan.then_some(backlog::NAMED_MAX));
            Ok(json!(Report::from(backlog.map_err(|error| error.to_string())?)))
        })
    }

    fn snapshot(&self, target: PathBuf) -> Response<Page> {
        let (data, rocks) = (self.data.clone(), Arc::clone(&self.rocks));
        self.begin("a snapshot", move |asker| {
            info!("a snapshot to '{}' begins", target.display());
            let taken =
                snapshot::take(&data, &target, &|to| rocks.copy(to), &|said| asker.hears(said))?;
            info!("the snapshot in '{}' is complete", target.display());
            Ok(json!(taken))
        })
    }

    /// Starts a thread that does something long; one at a time.
    fn begin(
        &self,
        what: &'static str,
        work: impl FnOnce(&Asker) -> Result<Value, String> + Send + 'static,
    ) -> Response<Page> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = *running {
            let sentence = format!("the broker is busy with {other}: try again when it is done\n");
            return text(StatusCode::CONFLICT, sentence);
        }
        let (lines, said) = unbounded_channel();
        let (asker, done) = (Asker { lines }, Arc::clone(&self.running));
        let thread = thread::Builder::new().name("control-work".to_owned()).spawn(move || {
            let last = match work(&asker) {
                Ok(result) => json!({ "done": result }),
                Err(sentence) => {
                    warn!("{what} failed: {sentence}");
                    json!({ "failed": sentence })
                }
            };
            // Before the last line: whoever has read it may ask for the next thing at once.
            *done.lock().unwrap_or_else(PoisonError::into_inner) = None;
            asker.hears_line(&last);
        });
        match thread {
            Ok(_) => {
                *running = Some(what);
                http::with(StatusCode::OK, "application/x-ndjson", Page::Growing(said))
            }
            Err(error) => {
                let sentence = format!("no thread can be started: {error}; raise ulimit -u\n");
                text(StatusCode::SERVICE_UNAVAILABLE, sentence)
            }
        }
    }
}

async fn read(request: Request<Incoming>) -> Result<Vec<u8>, Response<Page>> {
    let body = Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect().await;
    body.map(|body| body.to_bytes().to_vec()).map_err(|error| {
        text(StatusCode::BAD_REQUEST, format!("the request is cut off: {error}\n"))
    })
}

/// Whoever waits for the end of something.
struct Asker {
    lines: UnboundedSender<Bytes>,
}

impl Asker {
    /// Tells how far it has come; whether somebody still waits.
    fn hears(&self, progress: &str) -> bool {
        self.hears_line(&json!({ "progress": progress }))
    }

    fn hears_line(&self, line: &Value) -> bool {
        self.lines.send(Bytes::from(format!("{line}\n"))).is_ok()
    }
}

/// What a request for a backlog says that asks for the plan, too.
pub(crate) const PLAN: &[u8] = b"plan";

/// What a request for a snapshot says.
pub(crate) fn snapshot_request(target: &Path) -> &[u8] {
    target.as_os_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use std::{io::Read, os::unix::net::UnixStream};

    use super::*;

    /// A path may be longer than an address; a socket that was left is replaced; nobody else may.
    #[test]
    fn a_socket_in_any_directory() {
        let home = tempfile::tempdir().unwrap();
        for name in ["short".to_owned(), "long".repeat(50)] {
            let data = home.path().join(name);
            fs::create_dir(&data).unwrap();
            for _ in 0..2 {
                let socket = listen(&data.join(NAME)).unwrap();
                let mode = fs::metadata(data.join(NAME)).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
                let address = Address::of(&data).unwrap();
                let mut stream = UnixStream::connect(address.path()).unwrap();
                socket.set_nonblocking(false).unwrap();
                drop(socket.accept().unwrap());
                assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            }
        }
    }
}
