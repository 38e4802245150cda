"""The project's own tests; apiguard must not be noticed by them."""

from django.contrib.auth.models import User
from django.test import Client, SimpleTestCase, TestCase, TransactionTestCase


class WithoutDatabase(SimpleTestCase):
    def test_a_form_without_a_token_is_refused(self):
        response = Client(enforce_csrf_checks=True).post("/comment/", {"name": "x"})
        self.assertEqual(response.status_code, 403)
        self.assertIn("text/html", response["Content-Type"])

    def test_the_items_are_public(self):
        self.assertEqual(self.client.get("/api/items/").json()["items"], [])


class WithDatabase(TestCase):
    def test_a_page_without_queries_stays_without(self):
        with self.assertNumQueries(0):
            self.client.get("/api/items/")

    def test_a_signed_in_user_sees_what_is_his(self):
        self.client.force_login(User.objects.create_user("ann"))
        with self.assertNumQueries(2):  # the session and the user
            self.assertEqual(self.client.get("/api/mine/").json(), {"username": "ann"})

    def test_the_webhook_knows_its_own_token(self):
        own = {"HTTP_AUTHORIZATION": "Bearer the-shop's-own"}
        self.assertEqual(self.client.post("/api/webhook/", **own).json(), {"ok": True})
        self.assertEqual(self.client.post("/api/webhook/").status_code, 401)


class WithCommits(TransactionTestCase):
    def test_a_user_can_sign_in(self):
        User.objects.create_user("ann", password="a long pass phrase")
        signed_in = self.client.login(username="ann", password="a long pass phrase")
        self.assertTrue(signed_in)
