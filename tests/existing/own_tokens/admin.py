from django.contrib.admin import AdminSite
from django.contrib.auth.models import User


class OwnSite(AdminSite):
    site_header = "Own administration"


site = OwnSite(name="own")
site.register(User)
