from rest_framework.views import exception_handler


def handle(exc, context):
    response = exception_handler(exc, context)
    if response is not None:
        response.data = {"own": response.data}
    return response
