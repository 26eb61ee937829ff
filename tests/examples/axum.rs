use super::{
    exchange::{get, with_body},
    program::Program,
};

#[test]
fn notes_are_read_and_written() {
    let axum = Program::start("axum", &[]);
    assert_eq!(get(axum.address, "/api/notes/1").status(), 404);
    assert_eq!(
        with_body(axum.address, "PUT", "/api/notes/1", "", "remember the milk").status(),
        200
    );
    assert_eq!(
        get(axum.address, "/api/notes/1").body(),
        "remember the milk"
    );
    let again = get(axum.address, "/api/notes/1");
    assert!(
        again
            .field("cache-status")
            .is_some_and(|status| status.contains("; hit")),
        "{}",
        again.text
    );
    with_body(axum.address, "PUT", "/api/notes/1", "", "buy bread");
    assert_eq!(get(axum.address, "/api/notes/1").body(), "buy bread");
    assert_eq!(get(axum.address, "/api/notes/2").status(), 404);
}
