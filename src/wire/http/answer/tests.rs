use super::*;

const ANSWER: Answer<'_> = Answer {
    status: 405,
    content_type: "text/plain",
    headers: &["Allow: GET", "Cache-Control: no-store"],
    body: b"no",
    close: true,
    head_only: false,
};

fn put(answer: &Answer<'_>) -> String {
    let mut out = Vec::new();
    put_answer(&mut out, answer);
    String::from_utf8(out).expect("text")
}

#[test]
fn a_whole_answer() {
    let head = "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\
                Allow: GET\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n";
    assert_eq!(put(&ANSWER), format!("{head}no"));
    assert_eq!(put(&Answer { head_only: true, ..ANSWER }), head);
    let kept = put(&Answer { status: 200, headers: &[], body: b"", close: false, ..ANSWER });
    assert_eq!(kept, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn no_content_has_no_length() {
    let answer = put(&Answer { status: 204, headers: &[], body: b"", close: false, ..ANSWER });
    assert_eq!(answer, "HTTP/1.1 204 No Content\r\n\r\n");
}

#[test]
fn an_unknown_status_keeps_the_space_before_its_phrase() {
    assert!(put(&Answer { status: 299, ..ANSWER }).starts_with("HTTP/1.1 299 \r\n"));
}
