"""The HTTP service: what a CRM asks, checked at the door, answered from one verified bundle.

    bytes -- strict_json --> JSON -- requests --> checked request -- engine --> frame -- encoding --> bytes

`api` is the ASGI application around that flow (keys, body limits, turns, the one error shape, metrics);
`app` hands it to BentoML, which brings workers, packaging and deployment. Nothing here imports MLflow or the
training side.
"""
