use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::program::Program;

#[tokio::test]
async fn a_health_check_reports_serving() {
    let program = Program::start("tonic", &[]);
    let url = format!("http://{}", program.address);
    let channel = Endpoint::try_from(url)
        .expect("a URL")
        .connect()
        .await
        .expect("it listens");
    let mut client = HealthClient::new(channel);
    let response = client
        .check(HealthCheckRequest {
            service: "openforge".into(),
        })
        .await
        .expect("it is known");
    assert_eq!(response.into_inner().status, ServingStatus::Serving as i32);

    let unknown = client
        .check(HealthCheckRequest {
            service: "nobody".into(),
        })
        .await;
    assert_eq!(
        unknown.expect_err("it is not known").code(),
        tonic::Code::NotFound
    );
}
