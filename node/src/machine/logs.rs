//! The logs of the machine's services, as init keeps them: asked for on init's control socket.
//!
//! `GET /skerry/v1/logs` names the services, `GET /skerry/v1/logs/SERVICE?lines=N` gives the last lines of one.

use api::Status;
use api::tree;
use apiserver::machine::{Answer, Request, Route};
use apiserver::reply;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// Where init listens.
pub const SOCKET: &str = "/run/skerry/init.sock";
/// How long init may take; it reads at most a quarter of a megabyte.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// Bytes of one answer: 256 KiB of log, of which each byte may become six in JSON.
const ANSWER_BYTES_MAX: u64 = 2 << 20;
/// Lines that are given when nobody says how many.
const LINES: i64 = 200;
/// Lines at most; init's own limit.
const LINES_MAX: i64 = 1000;

/// The route that names the services.
pub fn services() -> Route {
    Route::new(http::Method::GET, "logs", |_| async { list(Path::new(SOCKET)).await })
}

/// The route that gives the lines of one service.
pub fn logs() -> Route {
    Route::new(http::Method::GET, "logs/", |request| {
        let Request { rest, query, .. } = request;
        async move { lines(Path::new(SOCKET), &rest, query.number("lines")?).await }
    })
}

async fn list(socket: &Path) -> Answer {
    let status = ask(socket, &tree!({"do": "status"})).await?;
    let services = status.get("services").cloned().unwrap_or_else(|| tree!({}));
    Ok(reply::object(200, &tree!({"services": (services)})))
}

async fn lines(socket: &Path, service: &str, count: Option<i64>) -> Answer {
    let count = count.unwrap_or(LINES);
    if !(1..=LINES_MAX).contains(&count) {
        return Err(Status::bad_request(format!("lines: {count} is not between 1 and {LINES_MAX}")));
    }
    let asked = tree!({"do": "logs", "service": (service), "lines": (count)});
    let answer = ask(socket, &asked).await?;
    let lines = answer.get("lines").and_then(api::Tree::as_list).unwrap_or_default();
    let text: String = lines.iter().filter_map(api::Tree::as_str).map(|line| format!("{line}\n")).collect();
    Ok(reply::text(200, text))
}

/// One question to init and its answer.
pub async fn ask(socket: &Path, question: &api::Tree) -> Result<api::Tree, Status> {
    let asked = tokio::time::timeout(ANSWER_WAIT, converse(socket, question)).await;
    let line = match asked {
        Ok(Ok(line)) => line,
        Ok(Err(error)) => return Err(Status::unavailable(format!("the machine's first process: {error}"))),
        Err(_) => return Err(Status::timeout("the machine's first process does not answer", 1)),
    };
    let answer = api::Tree::from_json(&line).map_err(|error| Status::internal(format!("init's answer: {error}")))?.tree;
    match answer.get("ok").and_then(api::Tree::as_bool) {
        Some(true) => Ok(answer),
        _ => {
            let why = answer.get("error").and_then(api::Tree::as_str).unwrap_or("it was refused").to_owned();
            Err(Status::new(404, "NotFound", why))
        }
    }
}

async fn converse(socket: &Path, question: &api::Tree) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket).await?;
    let mut line = question.to_json();
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = Vec::new();
    BufReader::new(stream).take(ANSWER_BYTES_MAX).read_until(b'\n', &mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    /// An init that gives one answer, and what it was asked.
    async fn with_init(answer: &'static str, question: api::Tree) -> (Result<api::Tree, Status>, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("init.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let init = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            stream.get_mut().write_all(format!("{answer}\n").as_bytes()).await.unwrap();
            line
        };
        tokio::join!(ask(&path, &question), init)
    }

    #[tokio::test]
    async fn lines_come_from_init() {
        let question = tree!({"do": "logs", "service": "node", "lines": 2});
        let (answer, asked) = with_init("{\"ok\":true,\"lines\":[\"a\",\"b\"]}", question.clone()).await;
        assert_eq!(api::Tree::from_json(asked.as_bytes()).unwrap().tree, question);
        assert_eq!(answer.unwrap().get("lines"), Some(&tree!(["a", "b"])));
    }

    #[tokio::test]
    async fn a_service_that_is_not_there_is_not_found_in_init_s_words() {
        let question = tree!({"do": "logs", "service": "no", "lines": 2});
        let (answer, _) = with_init("{\"ok\":false,\"error\":\"no service no\"}", question).await;
        let status = answer.unwrap_err();
        assert_eq!((status.code, status.message.as_str()), (404, "no service no"));
    }

    #[tokio::test]
    async fn without_init_the_answer_is_that_it_cannot_be_had() {
        let status = ask(Path::new("/nowhere/init.sock"), &tree!({"do": "status"})).await.unwrap_err();
        assert_eq!(status.code, 503);
    }
}
