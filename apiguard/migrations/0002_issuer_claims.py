"""What a token must say besides: the claim that names its audience, and required claims."""

from django.db import migrations, models

import apiguard.models.fields


class Migration(migrations.Migration):
    dependencies = [
        ("apiguard", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="jwtissuer",
            name="audience_claim",
            field=models.CharField(
                default="aud",
                help_text="The claim that names the audience: aud, or client_id, azp, cid for issuers whose access tokens have no aud.",
                max_length=255,
                verbose_name="audience claim",
            ),
        ),
        migrations.AddField(
            model_name="jwtissuer",
            name="required_claims",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text='What a token must say besides, as a JSON object, such as {"token_use": "access", "tid": "…"}. Of a list of values one is enough. Refresh and ID tokens that say what they are in token_type, token_use or typ are refused anyway.',
                verbose_name="required claims",
            ),
        ),
        migrations.AlterField(
            model_name="jwtissuer",
            name="algorithms",
            field=apiguard.models.fields.StringListField(
                blank=True,
                default=list,
                help_text="Of one family: HS, RS, PS, ES or EdDSA. Prohibited: HS256 beside RS256. EdDSA stands for Ed25519 and Ed448 too.",
                verbose_name="algorithms",
            ),
        ),
        migrations.AlterField(
            model_name="jwtissuer",
            name="scope_claim",
            field=models.CharField(
                default="scope",
                help_text="A claim with scopes, as a list or separated by spaces; dots lead into objects (realm_access.roles).",
                max_length=255,
                verbose_name="scope claim",
            ),
        ),
        migrations.AlterField(
            model_name="jwtissuer",
            name="tier_claim",
            field=models.CharField(
                blank=True,
                help_text="A claim that names a tier's slug; dots lead into objects (plan.tier).",
                max_length=255,
                verbose_name="tier claim",
            ),
        ),
        migrations.AlterField(
            model_name="jwtissuer",
            name="token_types",
            field=apiguard.models.fields.StringListField(
                blank=True,
                default=list,
                help_text="Values of the header's typ: JWT, at+jwt, none. Empty: any of these. at+jwt alone: RFC 9068.",
                verbose_name="token types",
            ),
        ),
    ]
