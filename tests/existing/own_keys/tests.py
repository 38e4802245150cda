import json
from urllib.request import urlopen

from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import (
    Client,
    LiveServerTestCase,
    SimpleTestCase,
    TestCase,
    TransactionTestCase,
    override_settings,
)

from .models import Note, PartnerKey


class Pages(SimpleTestCase):
    def test_status(self):
        self.assertEqual(self.client.get("/api/status/").json(), {"ok": True})

    def test_status_for_a_head_request(self):
        self.assertEqual(self.client.head("/api/status/").status_code, 200)

    def test_a_missing_page_is_html(self):
        response = self.client.get("/nowhere/")
        self.assertContains(response, "Not Found", status_code=404)

    def test_a_redirect_to_the_slash(self):
        self.assertRedirects(self.client.get("/api/status"), "/api/status/", 301)

    def test_a_form_needs_its_token(self):
        client = Client(enforce_csrf_checks=True)
        self.assertEqual(client.post("/api/form/", {"name": "x"}).status_code, 403)

    def test_a_form(self):
        self.assertContains(self.client.post("/api/form/", {"name": "x"}), "hello x")

    def test_a_fragment_of_html_with_422(self):
        response = self.client.get("/api/fragment/", headers={"HX-Request": "true"})
        self.assertContains(response, "<p class=error>", status_code=422, html=False)

    def test_events(self):
        response = self.client.get("/api/events/", headers={"accept": "text/event-stream"})
        self.assertEqual(b"".join(response), b"data: 1\n\n")
        self.assertEqual(response["Content-Type"], "text/event-stream")

    def test_its_own_cors(self):
        response = self.client.get("/api/open_to_all/", headers={"origin": "https://a.example"})
        self.assertEqual(response["Access-Control-Allow-Origin"], "*")

    def test_the_hook_knows_its_secret(self):
        own = {"authorization": "Bearer hook-secret"}
        self.assertEqual(self.client.post("/api/hook/", headers=own).status_code, 204)
        self.assertEqual(self.client.post("/api/hook/").status_code, 403)

    def test_authorization_arrives_as_it_was_sent(self):
        own = {"authorization": "Api-Key abc"}
        response = self.client.get("/api/legacy/", headers=own)
        self.assertEqual(response.json(), {"authorization": "Api-Key abc"})

    def test_an_error_is_raised_in_tests(self):
        with self.assertRaises(ZeroDivisionError):
            self.client.get("/api/raises/")

    def test_an_error_is_a_500(self):
        client = Client(raise_request_exception=False)
        with self.assertLogs("django.request", "ERROR"):
            self.assertEqual(client.get("/api/raises/").status_code, 500)

    @override_settings(ALLOWED_HOSTS=["good.example"])
    def test_a_host_that_is_not_allowed(self):
        with self.assertLogs("django.security.DisallowedHost", "ERROR"):
            response = self.client.get("/api/status", headers={"host": "evil.example"})
        self.assertEqual(response.status_code, 400)

    async def test_asynchronously(self):
        self.assertEqual((await self.async_client.get("/api/status/")).status_code, 200)


class Caches(SimpleTestCase):
    def setUp(self):
        cache.clear()

    def test_a_page_is_cached(self):
        first, second = self.client.get("/api/report/"), self.client.get("/api/report/")
        self.assertEqual(first.json(), second.json())

    def test_keys_keep_their_prefix(self):
        self.assertEqual(cache.make_key("k"), "own:1:k")


class Keys(TestCase):
    @classmethod
    def setUpTestData(cls):
        PartnerKey.objects.create(text="partner-a", partner="a")
        Note.objects.create(partner="a", text="first")

    def setUp(self):
        cache.clear()
        self.own = {"X-API-Key": "partner-a"}

    def test_a_partner_reads_its_notes(self):
        with self.assertNumQueries(2):
            response = self.client.get("/api/notes/", headers=self.own)
        self.assertEqual(response.json(), {"notes": ["first"]})

    def test_a_partner_writes_a_note(self):
        with self.assertNumQueries(2):
            response = self.client.post(
                "/api/notes/", {"text": "x"}, content_type="application/json", headers=self.own
            )
        self.assertEqual(response.status_code, 201)

    def test_an_unknown_partner(self):
        with self.assertNumQueries(1):
            response = self.client.get("/api/notes/", headers={"X-API-Key": "nobody"})
        self.assertEqual((response.status_code, response.json()["error"]), (401, "unknown partner"))

    def test_no_partner(self):
        response = self.client.get("/api/notes/")
        self.assertEqual(response.status_code, 401)
        self.assertNotIn("WWW-Authenticate", response)

    def test_an_upload(self):
        file = SimpleUploadedFile("a.bin", b"x" * 3_000_000)
        response = self.client.post("/api/upload/", {"file": file}, headers=self.own)
        self.assertEqual(response.json(), {"file": 3_000_000})

    def test_a_put_without_a_type(self):
        body = json.dumps({"text": "x"})
        response = self.client.generic("PUT", "/api/notes/", body, "", headers=self.own)
        self.assertEqual(response.status_code, 200)

    def test_its_own_throttle(self):
        seen = [self.client.get("/api/throttled/", headers=self.own) for _ in range(4)]
        self.assertEqual([each.status_code for each in seen], [200, 200, 200, 429])
        self.assertEqual(seen[-1]["Retry-After"], "60")
        self.assertContains(seen[-1], "slow down", status_code=429)

    def test_a_hundred_requests(self):
        seen = {self.client.get("/api/status/").status_code for _ in range(100)}
        self.assertEqual(seen, {200})


class People(TestCase):
    def setUp(self):
        self.user = User.objects.create_superuser("ann", password="a long pass phrase")
        self.client.force_login(self.user)

    def test_a_page_of_their_own(self):
        with self.assertNumQueries(2):
            self.assertEqual(self.client.get("/api/mine/").json(), {"user": "ann"})

    def test_a_page_that_does_not_look_at_the_session(self):
        with self.assertNumQueries(0):
            response = self.client.get("/api/status/")
        self.assertNotIn("Cookie", response.get("Vary", ""))

    def test_nobody_is_sent_to_sign_in(self):
        response = Client().get("/api/mine/")
        self.assertRedirects(
            response, "/accounts/login/?next=/api/mine/", fetch_redirect_response=False
        )

    def test_the_admin(self):
        self.assertContains(self.client.get("/admin/auth/user/"), "ann")


class Commits(TransactionTestCase):
    def test_a_note_is_there(self):
        PartnerKey.objects.create(text="partner-a", partner="a")
        Note.objects.create(partner="a", text="first")
        own = {"X-API-Key": "partner-a"}
        with self.assertNumQueries(2):
            self.client.get("/api/notes/", headers=own)

    def test_none_is_left(self):
        self.assertEqual(Note.objects.count(), 0)


class Served(LiveServerTestCase):
    def test_over_http(self):
        with urlopen(f"{self.live_server_url}/api/status/") as response:
            self.assertEqual(json.load(response), {"ok": True})
