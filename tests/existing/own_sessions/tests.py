from urllib.error import HTTPError
from urllib.request import urlopen

from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, LiveServerTestCase, SimpleTestCase, TestCase, TransactionTestCase
from rest_framework.test import APIClient, APITestCase

from .models import Document

PASSWORD = "a long pass phrase"


class WithoutDatabase(SimpleTestCase):
    client_class = APIClient

    def setUp(self):
        cache.clear()

    def test_nobody_is_a_403_because_sessions_have_no_challenge(self):
        response = self.client.get("/api/me/")
        self.assertEqual(response.status_code, 403)
        self.assertNotIn("WWW-Authenticate", response)
        self.assertEqual(list(response.json()), ["detail"])

    def test_a_contact(self):
        response = self.client.post("/api/contact/", {"a": "b"}, format="json")
        self.assertEqual((response.status_code, response.data), (202, {"received": {"a": "b"}}))

    def test_a_contact_by_form(self):
        self.assertEqual(self.client.post("/api/contact/", {"a": "b"}).status_code, 202)

    def test_its_own_throttle(self):
        seen = [self.client.post("/api/contact/").status_code for _ in range(3)]
        self.assertEqual(seen, [202, 202, 429])

    def test_a_stream(self):
        response = self.client.get("/api/stream/")
        self.assertEqual(b"".join(response), b"0\n1\n2\n")
        self.assertNotIn("Content-Length", response)

    def test_a_page_is_cached(self):
        first, second = self.client.get("/api/dashboard/"), self.client.get("/api/dashboard/")
        self.assertEqual(first.content, second.content)
        self.assertEqual(first["Cache-Control"], "max-age=60")

    def test_the_sign_in_page(self):
        self.assertContains(self.client.get("/accounts/login/"), "csrfmiddlewaretoken")

    async def test_asynchronously(self):
        response = await self.async_client.get("/api/slow/")
        self.assertEqual((response.status_code, response["Location"]), (302, "/accounts/login/"))


class Case(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = User.objects.create_superuser("ann", password=PASSWORD)
        cls.other = User.objects.create_user("bob", password=PASSWORD)
        Document.objects.create(owner=cls.user, title="mine")
        Document.objects.create(owner=cls.other, title="not mine")


class SignIn(Case):
    def test_by_form(self):
        response = self.client.post("/accounts/login/", {"username": "ann", "password": PASSWORD})
        self.assertRedirects(response, "/api/me/")

    def test_a_wrong_password_shows_the_form_again(self):
        response = self.client.post("/accounts/login/", {"username": "ann", "password": "x"})
        self.assertContains(response, "<form")

    def test_the_form_needs_its_token(self):
        client = Client(enforce_csrf_checks=True)
        self.assertEqual(client.post("/accounts/login/", {}).status_code, 403)

    def test_signing_out(self):
        self.client.force_login(self.user)
        self.client.post("/accounts/logout/")
        self.assertEqual(self.client.get("/api/me/").status_code, 403)

    def test_a_message(self):
        response = self.client.get("/api/message/", follow=True)
        self.assertContains(response, "<p>saved</p>")

    def test_the_browsable_sign_in(self):
        self.assertContains(self.client.get("/api-auth/login/"), "csrfmiddlewaretoken")


class SignedIn(Case):
    def setUp(self):
        cache.clear()
        self.client.force_login(self.user)

    def test_me(self):
        with self.assertNumQueries(2):
            response = self.client.get("/api/me/")
        self.assertEqual(response.json(), {"id": self.user.pk, "name": "ann"})

    def test_a_list(self):
        with self.assertNumQueries(3):
            response = self.client.get("/api/documents/")
        self.assertEqual([each["title"] for each in response.json()], ["mine"])

    def test_the_browsable_api(self):
        response = self.client.get("/api/documents/", headers={"accept": "text/html"})
        self.assertContains(response, "Django REST framework")

    def test_a_stream_that_does_not_look_at_the_session(self):
        with self.assertNumQueries(0):
            response = self.client.get("/api/stream/")
        self.assertNotIn("Cookie", response.get("Vary", ""))

    def test_a_throttle_of_others_is_not_theirs(self):
        seen = {self.client.post("/api/contact/").status_code for _ in range(4)}
        self.assertEqual(seen, {202})

    def test_an_upload(self):
        file = SimpleUploadedFile("a.bin", b"x" * 2_000_000)
        with self.assertNumQueries(3):
            response = self.client.post("/api/documents/", {"title": "new", "file": file})
        self.assertEqual(response.status_code, 201)
        self.assertEqual(len(Document.objects.get(title="new").body), 2_000_000)

    def test_a_mistake(self):
        response = self.client.post("/api/documents/", {}, content_type="application/json")
        self.assertEqual(response.json(), {"title": ["This field is required."]})

    def test_writing_needs_the_token(self):
        client = APIClient(enforce_csrf_checks=True)
        client.force_login(self.user)
        response = client.post("/api/documents/", {"title": "x"}, format="json")
        self.assertEqual(response.status_code, 403)
        self.assertIn("CSRF Failed", response.json()["detail"])

    def test_their_own_cached_page(self):
        mine = self.client.get("/api/dashboard/").json()
        self.client.force_login(self.other)
        self.assertNotEqual(self.client.get("/api/dashboard/").json(), mine)

    def test_the_admin(self):
        self.assertContains(self.client.get("/admin/auth/user/"), "bob")

    def test_the_admin_adds_a_user(self):
        data = {"username": "cy", "password1": "Xk9-long-enough", "password2": "Xk9-long-enough"}
        response = self.client.post("/admin/auth/user/add/", {**data, "usable_password": "true"})
        self.assertEqual(response.status_code, 302)

    async def test_asynchronously(self):
        client = self.async_client
        await client.aforce_login(self.user)
        self.assertEqual((await client.get("/api/slow/"))["Location"], "/api/me/")


class Keys(APITestCase):
    def test_a_header_of_somebody_else(self):
        response = self.client.get("/api/me/", headers={"X-API-Key": "of another system"})
        self.assertEqual(response.status_code, 403)

    def test_basic(self):
        User.objects.create_user("ann", password=PASSWORD)
        basic = {"authorization": "Basic YW5uOmEgbG9uZyBwYXNzIHBocmFzZQ=="}
        with self.assertNumQueries(1):
            self.assertEqual(self.client.get("/api/me/", headers=basic).status_code, 200)

    def test_a_forced_user(self):
        user = User.objects.create_user("ann")
        self.client.force_authenticate(user)
        with self.assertNumQueries(1):
            self.assertEqual(self.client.get("/api/documents/").json(), [])


class Commits(TransactionTestCase):
    def test_a_row(self):
        user = User.objects.create_user("bob")
        self.client.force_login(user)
        with self.assertNumQueries(2):
            self.client.get("/api/me/")

    def test_no_row(self):
        self.assertFalse(User.objects.exists())


class Served(LiveServerTestCase):
    def test_over_http(self):
        with self.assertRaises(HTTPError) as raised:
            urlopen(f"{self.live_server_url}/api/me/")
        self.assertEqual(raised.exception.code, 403)
