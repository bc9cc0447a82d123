//! HTTP/1.1 answers over any kind of socket.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Bytes, Frame, Incoming, SizeHint},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, mpsc::UnboundedReceiver},
    task::spawn_local,
};
use tracing::debug;

/// A request whose head has not come within this time is given up.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Connections at a time; further ones wait.
const CONNECTIONS_MAX: usize = 64;

/// What an answer says.
#[derive(Debug)]
pub(crate) enum Page {
    /// All at once.
    Whole(Full<Bytes>),
    /// As it comes, until the sender is dropped.
    Growing(UnboundedReceiver<Bytes>),
}

impl Body for Page {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(page) => Pin::new(page).poll_frame(context),
            Self::Growing(lines) => {
                lines.poll_recv(context).map(|line| Some(Ok(Frame::data(line?))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(page) => page.size_hint(),
            Self::Growing(_) => SizeHint::default(),
        }
    }
}

/// Answers whoever comes, for good. On a `LocalRuntime`.
///
/// # Errors
/// Never; a connection that cannot be accepted is tried again.
pub(crate) async fn serve<S, A, Q>(
    mut accept: impl AsyncFnMut() -> io::Result<S>,
    answer: A,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    A: Fn(Request<Incoming>) -> Q + Clone + 'static,
    Q: Future<Output = Response<Page>> + 'static,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
        let stream = match accept().await {
            Ok(stream) => stream,
            Err(error) => {
                debug!("operations: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let answer = answer.clone();
        spawn_local(async move {
            converse(stream, answer).await;
            drop(place);
        });
    }
}

async fn converse<S, A, Q>(stream: S, answer: A)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    A: Fn(Request<Incoming>) -> Q + 'static,
    Q: Future<Output = Response<Page>> + 'static,
{
    let service = service_fn(|request| {
        let answered = answer(request);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        debug!("operations: {error}");
    }
}

/// A line for people.
pub(crate) fn text(status: StatusCode, page: impl Into<String>) -> Response<Page> {
    respond(status, "text/plain; charset=utf-8", page.into())
}

/// A whole page.
pub(crate) fn respond(status: StatusCode, kind: &'static str, page: String) -> Response<Page> {
    with(status, kind, Page::Whole(Full::new(Bytes::from(page))))
}

/// A page of any kind.
pub(crate) fn with(status: StatusCode, kind: &'static str, page: Page) -> Response<Page> {
    let mut response = Response::new(page);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind.parse().expect("a valid header"));
    response
}
