//! The HTTP side: connections, routes, and the stream of changes.

use super::access::{Entry, Refusal};
use super::board::Board;
use super::news::News;
use super::{Shared, assets, metrics, page, report_page};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use futures_util::Stream;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, watch};
use tokio::task::JoinSet;

/// Browsers that may follow at once. Each costs memory and a share of the one thread.
const MOST_FOLLOWERS: usize = 32;
/// Connections at once: a browser opens up to six, and followers hold one each.
const MOST_CONNECTIONS: usize = 128;
/// Reports that may be made at once; each may take a second and the memory of its trace.
const MOST_REPORTS: usize = 2;
/// How often the page changes at most: often enough to look live, however many sessions there are.
const CHANGES_EVERY: Duration = Duration::from_millis(200);
/// Changes that a browser may be behind; one that is slower is shown everything anew, so that none is waited for.
const MOST_BEHIND: usize = 16;
/// News that are taken at once before others have their turn.
const NEWS_AT_ONCE: usize = 1024;
/// How long a client may take to send its request's head.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// The head of a request; those of browsers have some 1 KiB.
const LONGEST_HEAD: usize = 16 * 1024;
/// The body of a request: a form with one number.
const LONGEST_BODY: usize = 1024;
/// How long browsers have to take the last change.
const END_GRACE: Duration = Duration::from_millis(300);
/// A line without meaning keeps what is between from cutting a stream that is silent.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What the pages of the dashboard may do: nothing but load what is its own.
const CONTENT_SECURITY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// What every response says.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    // Without any, browsers would not say where a form was sent from.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// What goes to every browser.
#[derive(Debug, Clone)]
enum Told {
    /// A change as JSON.
    Change(Arc<str>),
    /// rdpscope ends.
    End,
}

/// What requests need.
#[derive(Clone)]
struct Site {
    shared: Arc<Shared>,
    changes: broadcast::Sender<Told>,
    followers: Arc<Semaphore>,
    reports: Arc<Semaphore>,
}

/// Serves until `stopped` turns true.
pub(super) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    news: mpsc::Receiver<News>,
    stopped: watch::Receiver<bool>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let site = Site {
        shared,
        changes: broadcast::Sender::new(MOST_BEHIND),
        followers: Arc::new(Semaphore::new(MOST_FOLLOWERS)),
        reports: Arc::new(Semaphore::new(MOST_REPORTS)),
    };
    let mut connections = JoinSet::new();
    let publishing = publish(site.clone(), news, stopped);
    let accepting = accept(listener, router(site), &mut connections);
    tokio::select! {
        // It ends when it has told everybody that this is the end.
        () = publishing => {}
        () = accepting => {}
    }
    let all_gone = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(END_GRACE, all_gone).await;
}

/// Takes the news as it comes, and tells every browser what has changed.
async fn publish(site: Site, mut news: mpsc::Receiver<News>, mut stopped: watch::Receiver<bool>) {
    let mut taken = Vec::new();
    let mut tick = tokio::time::interval(CHANGES_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            count = news.recv_many(&mut taken, NEWS_AT_ONCE) => {
                // The sessions' side is held by the dashboard itself, which stops this first.
                if count == 0 { break }
                let mut board = site.shared.board();
                taken.drain(..).for_each(|news| board.take(news));
            }
            _ = tick.tick() => tell(&site),
            _ = stopped.wait_for(|stopped| *stopped) => break,
        }
        tokio::task::yield_now().await;
    }
    while let Ok(news) = news.try_recv() {
        site.shared.board().take(news);
    }
    tell(&site);
    // Nobody may be there to hear it.
    let _ = site.changes.send(Told::End);
}

fn tell(site: &Site) {
    let change = site.shared.board().change();
    let Some(change) = change.filter(|_| site.changes.receiver_count() > 0) else { return };
    // Serialising these types into memory cannot fail.
    let json = serde_json::to_string(&change).unwrap_or_default();
    let _ = site.changes.send(Told::Change(json.into()));
}

async fn accept(listener: tokio::net::TcpListener, router: Router, connections: &mut JoinSet<()>) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files: the next may find room.
            tokio::time::sleep(CHANGES_EVERY).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .max_buf_size(LONGEST_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move {
            // A client that breaks off or speaks no HTTP is no matter of ours.
            let _ = served.await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}

fn router(site: Site) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/events", get(events))
        .route("/report/{session}", get(report))
        .route("/next", post(next))
        .route("/metrics", get(numbers))
        .route("/dashboard.css", get(|| async { assets::style() }))
        .route("/dashboard.js", get(|| async { assets::script() }))
        .layer(axum::extract::DefaultBodyLimit::max(LONGEST_BODY))
        .layer(from_fn_with_state(site.clone(), guard))
        .with_state(site)
}

/// Turns away who may not enter; adds what every response says.
async fn guard(State(site): State<Site>, request: Request, next: Next) -> Response {
    let access = &site.shared.access;
    let checked = access.check(request.method(), request.headers(), request.uri().query());
    let mut response = match checked {
        Err(refusal) => refuse(refusal),
        Ok(Entry::Token) => {
            let mut response = Redirect::to("/").into_response();
            if let Ok(cookie) = HeaderValue::from_str(&access.set_cookie()) {
                response.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            response
        }
        Ok(Entry::Cookie | Entry::Bearer) => next.run(request).await,
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let policy = response.headers_mut().entry(header::CONTENT_SECURITY_POLICY);
    policy.or_insert(HeaderValue::from_static(CONTENT_SECURITY));
    response
}

fn refuse(refusal: Refusal) -> Response {
    let (status, words) = match refusal {
        Refusal::WrongHost => (
            StatusCode::MISDIRECTED_REQUEST,
            "This is rdpscope's dashboard; it answers only by the address that it printed.",
        ),
        Refusal::NoEntry => (
            StatusCode::UNAUTHORIZED,
            "Open the address that rdpscope printed when it started: the token in it lets you in.",
        ),
        Refusal::WrongOrigin => (StatusCode::FORBIDDEN, "Only the dashboard's own page can do this."),
    };
    let mut response = (status, format!("{words}\n")).into_response();
    if refusal == Refusal::NoEntry {
        let challenge = HeaderValue::from_static("Bearer realm=\"rdpscope\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

async fn front(State(site): State<Site>) -> Response {
    let everything = site.shared.board().everything();
    page::html(&everything).into_response()
}

async fn numbers(State(site): State<Site>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], site.shared.metrics()).into_response()
}

/// The report of a session that is on the page.
async fn report(State(site): State<Site>, Path(session): Path<String>) -> Response {
    let gone = || (StatusCode::NOT_FOUND, "This session is not on the page any more; its trace is kept.\n");
    let source = report_page::Source::of(&site.shared.board(), site.shared.traces.as_ref(), &session);
    let Some(source) = source else { return gone().into_response() };
    let Ok(_permit) = site.reports.acquire().await else { return gone().into_response() };
    match tokio::task::spawn_blocking(move || source.html()).await {
        Ok(Ok(page)) => page.into_response(),
        Ok(Err(sentence)) => (StatusCode::NOT_FOUND, format!("{sentence}\n")).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Ends the attempt that is named, and goes on to the next.
async fn next(State(site): State<Site>, body: String) -> Response {
    let turn = body.split('&').find_map(|pair| pair.strip_prefix("turn=")?.parse::<u64>().ok());
    let due = site.shared.board().turn();
    match (turn, due) {
        (Some(turn), Some(due)) if turn == due => {
            site.shared.skip.send_replace(turn);
            Redirect::to("/").into_response()
        }
        (None, _) => (StatusCode::BAD_REQUEST, "No attempt is named.\n").into_response(),
        _ => (StatusCode::CONFLICT, "That attempt is already over.\n").into_response(),
    }
}

/// Everything there is, and then what changes.
async fn events(State(site): State<Site>) -> Response {
    let Ok(permit) = site.followers.clone().try_acquire_owned() else {
        let words = "Too many pages follow this dashboard: close one and load this again.\n";
        return (StatusCode::SERVICE_UNAVAILABLE, words).into_response();
    };
    let follower = Follower { site, receiver: None, is_over: false, _permit: permit };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let mut response = Sse::new(follower.stream()).keep_alive(keep_alive).into_response();
    // What passes it on shall not gather it.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// One browser that follows.
struct Follower {
    site: Site,
    /// Absent until everything was shown.
    receiver: Option<broadcast::Receiver<Told>>,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures_util::stream::unfold(self, |mut follower| async move {
            let event = follower.next().await?;
            Some((Ok(event), follower))
        })
    }

    async fn next(&mut self) -> Option<Event> {
        if self.is_over {
            return None;
        }
        let told = match &mut self.receiver {
            None => return Some(self.everything()),
            Some(receiver) => receiver.recv().await,
        };
        match told {
            Ok(Told::Change(json)) => Some(Event::default().event("change").data(json)),
            Ok(Told::End) | Err(broadcast::error::RecvError::Closed) => {
                self.is_over = true;
                Some(Event::default().event("end").data("{}"))
            }
            Err(broadcast::error::RecvError::Lagged(_)) => Some(self.everything()),
        }
    }

    fn everything(&mut self) -> Event {
        let board = self.site.shared.board();
        // From here on nothing is missed: changes are told while the board is held.
        self.receiver = Some(self.site.changes.subscribe());
        let everything = Board::everything(&board);
        drop(board);
        // Serialising these types into memory cannot fail.
        Event::default().event("everything").data(serde_json::to_string(&everything).unwrap_or_default())
    }
}

/// A page of ours.
pub(super) fn html_response(html: String, policy: Option<&'static str>) -> Response {
    let mut response = Response::new(Body::from(html));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Some(policy) = policy {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    }
    response
}
